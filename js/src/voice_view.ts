/** The voice widget's face: one of possibly several views of a session. */

import { element, everyFrame, setText } from "./dom";
import { questionsView } from "./questions_view";
import type { Session } from "./session";
import type { Caption } from "./wire";

const LEVEL_MS = 50;
const WHO = { user: "You", assistant: "Voice", note: "Note" };

export function voiceView(root: HTMLElement, session: Session, signal: AbortSignal): void {
  const on = { signal };
  const button = (className: string, text: string, click: () => void): HTMLButtonElement => {
    const made = element("button", className, { type: "button" }, text);
    made.addEventListener("click", click, on);
    return made;
  };

  const mic = button("bc-mic", "", () => void session.toggle());
  mic.setAttribute("aria-label", "Microphone");
  mic.append(microphoneIcon());
  const word = element("strong", "bc-word");
  const sentence = element("span", "bc-sentence");
  const take = button("bc-small", "Use it here", () => void session.takeOver());
  const sound = button("bc-small", "Turn the sound on", () => void session.soundOn());
  const level = element("div", "bc-level", { "aria-hidden": "true" }, element("div", "bc-level-bar"));
  const mute = button("bc-small", "Mute", () => session.setMuted(!session.muted));
  const hold = element("button", "bc-small bc-hold", { type: "button" }, "Hold to talk");
  const head = element(
    "div",
    "bc-head",
    {},
    mic,
    element(
      "div",
      "bc-status",
      {},
      element("div", "", { role: "status", "aria-live": "polite" }, word, " ", sentence),
      level,
    ),
    element("div", "bc-actions", {}, take, sound, hold, mute),
  );

  const notices = element("ul", "bc-notices", { "aria-label": "Notices" });
  const log = element("div", "bc-log", { role: "log", "aria-label": "Conversation", tabindex: 0 });
  stayAtEnd(log, signal);
  const text = element("input", "bc-text", {
    type: "text",
    placeholder: "Type instead of talking",
    "aria-label": "Type instead of talking",
    autocomplete: "off",
    maxlength: 10000,
  });
  const submit = (): void => {
    const words = text.value.trim();
    if (words && session.say(words)) text.value = "";
  };
  const say = element("div", "bc-say", {}, text, button("bc-small", "Send", submit));
  const place = element("div", "bc-place");
  const volume = element("input", "", { type: "range", min: 0, max: 100, "aria-label": "Volume" });
  const pushToTalk = element("input", "", { type: "checkbox" });
  const settings = element(
    "details",
    "bc-settings",
    {},
    element("summary", "", {}, "Settings"),
    element("label", "", {}, "Volume ", volume),
    element("label", "", {}, pushToTalk, " Push to talk (hold the button, or Space)"),
  );
  const questions = questionsView((id, approved) => session.answer(id, approved), signal);
  root.append(head, notices, questions.root, log, say, place, settings);

  // No form: inside a notebook Enter submits none.
  text.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && submit(), on);
  volume.addEventListener("input", () => session.setVolume(Number(volume.value) / 100), on);
  pushToTalk.addEventListener("change", () => session.setPushToTalk(pushToTalk.checked), on);
  hold.addEventListener("pointerdown", (event) => {
    hold.setPointerCapture(event.pointerId);
    session.hold(true);
  });
  for (const name of ["pointerup", "pointercancel", "blur"]) hold.addEventListener(name, () => session.hold(false));
  root.addEventListener("focusout", () => session.hold(false), on);
  // JupyterLab's own shortcuts must not act on what is typed here.
  root.dataset.lmSuppressShortcuts = "true";
  root.addEventListener("keydown", (event) => keyed(event, true), on);
  root.addEventListener("keyup", (event) => keyed(event, false), on);
  function keyed(event: KeyboardEvent, down: boolean): void {
    const field = event.target instanceof HTMLInputElement;
    if (event.key !== " " || field || !session.pushToTalk || !session.status.pressed) return;
    event.preventDefault();
    session.hold(down);
  }

  const shown = new Map<string, HTMLElement>();
  let announced = "";
  const draw = (): void => {
    const now = session.status;
    root.dataset.state = now.state;
    mic.setAttribute("aria-pressed", String(now.pressed));
    mic.disabled = !now.enabled;
    mic.title = now.pressed ? "Stop talking" : "Talk";
    setText(word, now.word);
    setText(sentence, now.sentence);
    take.hidden = now.offer !== "take";
    sound.hidden = now.offer !== "sound";
    hold.hidden = !(session.pushToTalk && now.pressed);
    hold.setAttribute("aria-pressed", String(!session.silent));
    mute.hidden = !now.pressed;
    mute.setAttribute("aria-pressed", String(session.muted !== false));
    setText(mute, session.muted ? "Unmute" : "Mute");
    if (document.activeElement !== volume) volume.value = String(Math.round(session.volume * 100));
    pushToTalk.checked = session.pushToTalk;
    const { info, captions } = session.conversation;
    const where = [info.model, info.place].filter((part) => typeof part === "string" && part !== "");
    setText(place, where.length > 0 ? `Where the audio goes: ${where.join(", ")}` : "");
    drawNotices(notices, [...session.conversation.notices, ...pageNotices()]);
    questions.draw(session.conversation.questions, session.answerable);
    drawCaptions(log, shown, captions);
    const key = `${now.state} ${now.sentence}`;
    if (key !== announced) root.dispatchEvent(new CustomEvent("backchannel:state", { bubbles: true, detail: now }));
    announced = key;
  };
  const soon = everyFrame(signal, draw);

  let metered = 0;
  const meter = level.firstElementChild as HTMLElement;
  session.addEventListener("change", soon, on);
  session.addEventListener(
    "level",
    (event) => {
      const at = performance.now();
      if (at - metered < LEVEL_MS) return;
      metered = at;
      // Speech lies around -40 to -10 dB.
      const db = 20 * Math.log10(Math.max(1e-5, (event as CustomEvent<number>).detail));
      meter.style.transform = `scaleX(${Math.min(1, Math.max(0, (db + 60) / 60)).toFixed(3)})`;
    },
    on,
  );
  for (const name of ["caption", "flushed"]) {
    session.addEventListener(
      name,
      (event) => {
        const { detail } = event as CustomEvent<unknown>;
        root.dispatchEvent(new CustomEvent(`backchannel:${name}`, { bubbles: true, detail }));
      },
      on,
    );
  }
  // Tests read here what was really played (info.tap); see Session.tap.
  Object.defineProperty(root, "__backchannelTap", { get: () => session.tap });
  draw();
}

function pageNotices(): string[] {
  const server = window.__backchannel_lab?.server;
  if (server !== false) return [];
  return ["Backchannel's server extension is not active, so the voice is slower. Restart the Jupyter server."];
}

function drawNotices(list: HTMLElement, notices: readonly string[]): void {
  list.hidden = notices.length === 0;
  if (list.children.length === notices.length && notices.every((text, at) => list.children[at]?.textContent === text)) {
    return;
  }
  list.replaceChildren(...notices.map((text) => element("li", "", {}, text)));
}

/** Keep the end of a log in sight when its size changes, unless somebody has scrolled away from it. */
function stayAtEnd(log: HTMLElement, signal: AbortSignal): void {
  let stays = true;
  log.addEventListener("scroll", () => (stays = atEnd(log)), { signal });
  const observer = new ResizeObserver(() => {
    if (stays) log.scrollTop = log.scrollHeight;
  });
  observer.observe(log);
  signal.addEventListener("abort", () => observer.disconnect());
}

function atEnd(log: HTMLElement): boolean {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 40;
}

function drawCaptions(log: HTMLElement, shown: Map<string, HTMLElement>, captions: readonly Caption[]): void {
  const stays = atEnd(log);
  const ids = new Set(captions.map((caption) => caption.id));
  for (const [id, line] of shown) {
    if (ids.has(id)) continue;
    line.remove();
    shown.delete(id);
  }
  for (const caption of captions) {
    let line = shown.get(caption.id);
    if (!line) {
      line = element("p", "", {}, element("span", "bc-who", {}, WHO[caption.role]), " ", element("span", "bc-words"));
      shown.set(caption.id, line);
      log.append(line);
    }
    const look = `bc-caption bc-${caption.role}${caption.final ? "" : " bc-partial"}${caption.heard ? "" : " bc-unheard"}`;
    if (line.className !== look) line.className = look;
    setText(line.lastElementChild as HTMLElement, caption.text);
  }
  log.hidden = captions.length === 0;
  if (stays) log.scrollTop = log.scrollHeight;
}

function microphoneIcon(): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute(
    "d",
    "M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5.5 11v1a6.5 6.5 0 0 0 13 0v-1M12 18.5V22M8.5 22h7",
  );
  svg.append(path);
  return svg;
}
