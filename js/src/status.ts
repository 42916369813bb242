/** What the microphone button shows, from the kernel's state and the page's own facts. Pure. */

import { duration } from "./silence";
import type { VoiceState } from "./wire";

export type Kernel = "connected" | "connecting" | "restarting" | "gone" | "replaced";
export type Microphone = "none" | "asking" | "on" | "refused" | "missing" | "busy" | "insecure" | "lost" | "elsewhere";
/** Why an open microphone sends nothing: muted by the user, or after silence, or push-to-talk is not held. */
export type Hush = "none" | "muted" | "silence" | "not-held";
export type Sound = "none" | "on" | "needs-click" | "blocked" | "insecure";

export interface Facts {
  state: VoiceState;
  detail: string;
  owner: "me" | "other" | "nobody";
  kernel: Kernel;
  /** The kernel has welcomed this page. */
  welcomed: boolean;
  microphone: Microphone;
  sound: Sound;
  hush: Hush;
  /** After how much silence the microphone is muted; seconds. */
  muteAfterS: number;
  /** Nothing that this page sent was answered for more than a second. */
  unanswered: boolean;
  /** Kernel and page speak different versions of the protocol. */
  outdated: boolean;
}

export interface Status {
  state: VoiceState;
  word: string;
  sentence: string;
  /** What a second button offers. */
  offer: "none" | "take" | "sound";
  /** The microphone button is down. */
  pressed: boolean;
  enabled: boolean;
}

const WORDS: Record<VoiceState, string> = {
  off: "Off",
  connecting: "Connecting",
  listening: "Listening",
  thinking: "Thinking",
  speaking: "Speaking",
  reconnecting: "Reconnecting",
  paused: "Paused",
  error: "Error",
};

const SENTENCES: Record<VoiceState, string> = {
  off: "Press the microphone to talk, or type below.",
  connecting: "Getting ready.",
  listening: "Speak now.",
  thinking: "One moment.",
  speaking: "You can interrupt at any time.",
  reconnecting: "The connection to the model is being renewed; nothing is lost.",
  paused: "Paused.",
  error: "Something went wrong.",
};

const KERNEL: Record<Exclude<Kernel, "connected">, [VoiceState, string]> = {
  connecting: ["reconnecting", "Waiting for the connection to the notebook's kernel."],
  restarting: ["error", "The kernel is restarting. Run the cell again when it is back."],
  gone: ["error", "The kernel is gone. Start it and run the cell again."],
  replaced: ["error", "The kernel was restarted. Run the cell again to talk."],
};

const MICROPHONE: Partial<Record<Microphone, string>> = {
  refused:
    "The browser refused the microphone. Allow it for this page in the address bar and press again; typing works.",
  missing: "No microphone was found. Connect one and press again; typing works.",
  busy: "The microphone cannot be opened: another program uses it. Close that and press again; typing works.",
  insecure:
    "This page is not secure, so the browser gives no microphone. Open the notebook over https or as localhost; typing works.",
  lost: "The microphone was unplugged or taken away. Press to try again; typing works.",
};

const SOUND: Partial<Record<Sound, string>> = {
  "needs-click": "Browsers play no sound before a button is pressed; press this one.",
  blocked: "The page's security policy blocks audio worklets. Ask for script-src blob: to be allowed; typing works.",
  insecure:
    "This page is not secure, so the browser gives neither microphone nor sound. Open the notebook over https or as localhost; typing works.",
};

const HUSH_WORDS = { muted: "Muted", silence: "Muted", "not-held": "Push to talk" };

const HUSHED = {
  muted: () => "Press Unmute to talk.",
  silence: ({ muteAfterS }: Facts) => `after ${duration(muteAfterS)} of silence. Press Unmute to talk.`,
  "not-held": () => "Hold the button, or Space, to talk.",
};

const INTERRUPT = {
  muted: "The microphone is muted.",
  silence: "The microphone is muted.",
  "not-held": "Hold the button, or Space, to interrupt.",
};

export function status(facts: Facts): Status {
  const mine = facts.owner === "me";
  const pressed = mine && (facts.microphone === "on" || facts.microphone === "asking");
  const show = (state: VoiceState, sentence: string, more: Partial<Status> = {}): Status => ({
    state,
    word: WORDS[state],
    sentence,
    offer: "none",
    pressed,
    enabled: true,
    ...more,
  });
  if (facts.outdated) {
    return show("error", "This page is older than the kernel's Backchannel. Reload the page.", { enabled: false });
  }
  if (facts.kernel !== "connected") {
    const [state, sentence] = KERNEL[facts.kernel];
    return show(state, sentence, { enabled: false, pressed: false });
  }
  if (facts.unanswered) {
    return show("paused", "The kernel does not answer. What you say now is dropped until it does.");
  }
  if (!facts.welcomed) return show("connecting", "Waiting for the kernel.", { enabled: false });
  if (facts.owner === "other" || (facts.microphone === "elsewhere" && !mine)) {
    return show("off", "In use in another tab or widget.", { offer: "take", pressed: false });
  }
  if (facts.state === "error") return show("error", facts.detail || SENTENCES.error);
  const sound = SOUND[facts.sound];
  if (mine && sound) {
    const offer = facts.sound === "needs-click" ? "sound" : "none";
    return show(facts.sound === "needs-click" ? "paused" : "error", sound, { offer });
  }
  const microphone = MICROPHONE[facts.microphone];
  if (microphone && (facts.state === "off" || facts.state === "listening")) return show("error", microphone);
  if (facts.microphone === "asking") return show("connecting", "Allow the microphone in the browser's question.");
  const heard = mine && facts.microphone === "on";
  if (facts.state === "listening" && mine && !heard) {
    return show("listening", "Type below, or press the microphone to talk.");
  }
  if (heard && facts.hush !== "none") {
    if (facts.state === "listening") return show("paused", HUSHED[facts.hush](facts), { word: HUSH_WORDS[facts.hush] });
    if (facts.state === "speaking") return show("speaking", INTERRUPT[facts.hush]);
  }
  return show(facts.state, facts.detail || SENTENCES[facts.state]);
}

/** The microphone or sound fact that an exception of getUserMedia stands for. */
export function microphoneFault(error: unknown): Microphone {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "missing";
  if (name === "NotReadableError" || name === "AbortError") return "busy";
  return "refused";
}
