/** A conversation on this page: what happens between the kernel, the audio engine and the views. */

import { AudioEngine, type CaptureSettings } from "./audio/engine";
import { Client } from "./client";
import { identity, remember, remembered, type WidgetModel } from "./host";
import { SILENCE_S, Silence } from "./silence";
import { applyOps, type Conversation, EMPTY, fromSnapshot, isNews } from "./state";
import { type Hush, type Kernel, type Microphone, type Sound, type Status, status } from "./status";
import { isObject, type Op, samplesOf, type ToPage, VERSION } from "./wire";

const TAP_MOST_S = 300;
/** A cell that is moved, or whose output is drawn again, has no view in between. */
const UNSEEN_MS = 1000;

export interface Tap {
  rate: number;
  /** What the speaker's processor gave out; `frame` is the context frame of the first sample. */
  blocks: { frame: number; samples: Float32Array }[];
}

/** Tells its views by events: "change", "level" (number), "caption" (Caption), "flushed" (Flushed). */
export class Session extends EventTarget {
  conversation: Conversation = EMPTY;
  /** The microphone sends nothing until somebody unmutes it; "silence" when nobody muted it. */
  muted: false | "muted" | "silence" = false;
  pushToTalk = false;
  volume = 1;
  tap: Tap | null = null;
  readonly client: Client;
  readonly #engine: AudioEngine;
  readonly #model: WidgetModel;
  readonly #memory: string;
  #kernel: Kernel = "connected";
  #microphone: Microphone = "none";
  #sound: Sound = "none";
  #unanswered = false;
  #outdated = false;
  #holding = false;
  #views = 0;
  #unseen = 0;
  /** This page had the conversation, and nobody has it now. */
  #freed = false;
  readonly #silence = new Silence();
  #chunks = 0;
  #flushes = new Map<number, number>();

  constructor(model: WidgetModel, signal: AbortSignal) {
    super();
    this.#model = model;
    this.#memory = `backchannel:microphone:${(identity(model) as { model_id?: string }).model_id ?? ""}`;
    this.#engine = new AudioEngine(
      {
        chunk: (pcm, level) => this.#chunk(pcm, level),
        heard: (heard) => this.mine && this.client.send({ k: "played", ...heard }),
        flushed: (gen, unheard) => this.#flushed(gen, unheard),
        microphone: (state) => this.#microphoneIs(state),
        sound: (state) => this.#set(() => (this.#sound = state)),
        tapped: (frame, samples, rate) => this.#tapped(frame, samples, rate),
      },
      () => window.__backchannel_lab?.worklets,
    );
    this.#showSaved();
    model.on("change:snapshot", () => this.#showSaved());
    this.client = new Client(model, signal, {
      message: (message, buffer) => this.#message(message, buffer),
      kernel: (kernel) => this.#kernelIs(kernel),
      unanswered: (unanswered) => this.#set(() => (this.#unanswered = unanswered)),
      progress: () => ({ seq: this.conversation.seq ?? 0, version: 0 }),
    });
    signal.addEventListener("abort", () => {
      clearTimeout(this.#unseen);
      remember(this.#memory, "");
      this.#engine.close();
    });
  }

  /**
   * A view shows this session until `signal` is aborted. Without any view nobody sees that the microphone is open, so
   * it is closed. One that is scrolled away or hidden is still a view.
   */
  shown(signal: AbortSignal): void {
    clearTimeout(this.#unseen);
    this.#views += 1;
    signal.addEventListener("abort", () => {
      this.hold(false);
      this.#views -= 1;
      if (this.#views === 0) this.#unseen = window.setTimeout(() => this.release(), UNSEEN_MS);
    });
    void this.#goOn();
  }

  get mine(): boolean {
    return this.client.id !== "" && this.conversation.owner === this.client.id;
  }

  get status(): Status {
    const { state, detail, owner } = this.conversation;
    return status({
      state,
      detail,
      owner: owner === "" ? "nobody" : this.mine ? "me" : "other",
      kernel: this.#kernel,
      welcomed: this.client.welcomed,
      microphone: this.#microphone,
      sound: this.#sound,
      hush: this.#hush,
      muteAfterS: this.#muteAfterS,
      unanswered: this.#unanswered,
      outdated: this.#outdated,
    });
  }

  /** Somebody is there who takes an answer. */
  get answerable(): boolean {
    return this.client.welcomed && this.#kernel === "connected";
  }

  /** The microphone is muted right now, or push-to-talk is not held. */
  get silent(): boolean {
    return this.#hush !== "none";
  }

  get #hush(): Hush {
    return this.muted || (this.pushToTalk && !this.#holding ? "not-held" : "none");
  }

  get #muteAfterS(): number {
    const { mute_after_s: seconds } = this.conversation.info;
    return typeof seconds === "number" && seconds >= 0 ? seconds : SILENCE_S;
  }

  /** The microphone button: hear and speak here, or stop. Call it from a gesture. */
  async toggle(): Promise<void> {
    if (this.#microphone === "asking") this.#engine.deafen();
    else if (this.mine && this.#microphone === "on") this.release();
    else await this.#take(false);
  }

  /** Take the conversation from another tab or widget. */
  async takeOver(): Promise<void> {
    await this.#take(true);
  }

  release(): void {
    remember(this.#memory, "");
    this.#engine.deafen();
    this.client.send({ k: "release" });
  }

  /** After the click that the browser asks for. */
  async soundOn(): Promise<void> {
    await this.#engine.open();
  }

  /** Send typed text; false when there is no kernel to send it to. */
  say(text: string): boolean {
    void this.#engine.open();
    if (this.conversation.owner === "") this.client.send({ k: "claim", force: false, microphone: false });
    return this.client.ask({ k: "say", text });
  }

  /** Allow or refuse a call that waits; false when there is no kernel to tell. */
  answer(question: string, approved: boolean): boolean {
    return this.client.ask({ k: "answer", question, approved });
  }

  setMuted(muted: boolean): void {
    this.muted = muted && "muted";
    this.#mute();
  }

  setPushToTalk(on: boolean): void {
    this.pushToTalk = on;
    this.#mute();
  }

  hold(holding: boolean): void {
    if (this.#holding === holding) return;
    this.#holding = holding;
    this.#mute();
  }

  setVolume(volume: number): void {
    this.volume = volume;
    this.#engine.volume = volume;
  }

  async #take(force: boolean): Promise<void> {
    if (this.muted === "silence") this.setMuted(false);
    this.#freed = false;
    const open = await this.#engine.listen(this.#capture());
    if (open) remember(this.#memory, "on");
    else if (["none", "asking", "elsewhere"].includes(this.#microphone)) return;
    this.client.ask({ k: "claim", force, microphone: open });
    if (!open) await this.#engine.open();
  }

  #capture(): CaptureSettings {
    const { input_rate: rate, chunk_ms: chunkMs, constraints } = this.conversation.info;
    return {
      rate: typeof rate === "number" && rate > 0 ? rate : 16000,
      chunkMs: typeof chunkMs === "number" && chunkMs > 0 ? chunkMs : 20,
      constraints: {
        echoCancellation: true,
        noiseSuppression: true,
        autoGainControl: true,
        ...(isObject(constraints) ? constraints : {}),
      },
    };
  }

  #mute(): void {
    this.#silence.end();
    this.#engine.muted = this.silent;
    this.#changed();
  }

  #chunk(pcm: ArrayBuffer, level: number): void {
    this.dispatchEvent(new CustomEvent("level", { detail: level }));
    if (!this.mine) return;
    if (this.silent || this.conversation.state === "speaking") this.#silence.end();
    else if (this.#silence.over(performance.now(), this.#muteAfterS)) {
      this.muted = "silence";
      this.#mute();
    }
    const n = this.#chunks++;
    // The gap in the numbers tells the kernel of what is dropped here.
    if (this.client.link.paused || this.#kernel !== "connected") return;
    if (this.client.send({ k: "mic", n, rate: this.#capture().rate }, pcm)) this.client.link.sent(n, performance.now());
  }

  #message(message: ToPage, buffer: ArrayBuffer | ArrayBufferView | undefined): void {
    if (message.k === "welcome") this.#welcome(message.seq, message.snapshot);
    else if (message.k === "ops") this.#ops(message.seq, message.ops);
    else if (message.k === "audio" && this.mine) {
      const samples = samplesOf(buffer);
      if (!samples || message.gen < this.conversation.gen) return;
      this.#engine.play(message.gen, message.start, message.rate, samples);
    }
  }

  #welcome(seq: number, snapshot: Record<string, unknown>): void {
    this.#outdated = isObject(snapshot) && snapshot.version !== undefined && snapshot.version !== VERSION;
    if (!isNews(this.conversation, seq)) {
      this.client.acknowledge(true);
      this.#changed();
      return;
    }
    this.conversation = fromSnapshot(snapshot, seq);
    this.#engine.flush(this.conversation.gen);
    this.#owned();
    this.client.acknowledge(true);
    this.#changed();
    void this.#goOn();
  }

  /** After a reload: the microphone again, but only where the browser need not ask for it. */
  async #goOn(): Promise<void> {
    const due = (): boolean =>
      this.mine && this.#views > 0 && this.#microphone === "none" && remembered(this.#memory) === "on";
    if (!due()) return;
    const permission = await navigator.permissions
      ?.query({ name: "microphone" as PermissionName })
      .catch(() => undefined);
    if (permission?.state === "granted" && due()) await this.#engine.listen(this.#capture(), true);
  }

  #ops(seq: number, ops: (Op | null)[]): void {
    if (!this.client.welcomed) return;
    const { next, fresh } = applyOps(this.conversation, seq, ops);
    const rate = this.#capture().rate;
    const mine = this.mine;
    this.conversation = next;
    this.#freed = next.owner === "" && (mine || this.#freed);
    if (this.#freed && (next.state === "off" || next.state === "error") && this.#microphone === "on") this.#over();
    const flush = fresh.findLast((op) => op.op === "flush");
    if (flush?.op === "flush") {
      this.#flushes.set(flush.gen, performance.now());
      this.#engine.flush(flush.gen);
    }
    this.client.acknowledge(flush !== undefined);
    for (const op of fresh) {
      if (op.op !== "caption") continue;
      if (op.role !== "note") this.#silence.end();
      this.dispatchEvent(new CustomEvent("caption", { detail: op }));
    }
    if (fresh.some((op) => op.op === "owner")) this.#owned();
    if (this.#capture().rate !== rate && this.#microphone === "on") void this.#engine.listen(this.#capture());
    if (fresh.length > 0) this.#changed();
  }

  /** Who hears and speaks may have changed. */
  #owned(): void {
    const { owner, info } = this.conversation;
    if (owner !== "" && !this.mine) {
      this.#engine.deafen();
      this.#engine.silence();
    }
    if (info.tap === true) this.#engine.tap = true;
  }

  /** The conversation has ended, with nobody to listen: the microphone is not to stay open. */
  #over(): void {
    this.#freed = false;
    remember(this.#memory, "");
    this.#engine.deafen();
  }

  #kernelIs(kernel: Kernel): void {
    if (kernel !== "connected" && kernel !== "connecting") {
      this.#engine.deafen();
      this.#engine.silence();
    }
    this.#set(() => (this.#kernel = kernel));
  }

  #microphoneIs(state: Microphone): void {
    this.#silence.end();
    this.#set(() => (this.#microphone = state));
    if (state !== "elsewhere") return;
    remember(this.#memory, "");
    this.client.send({ k: "release" });
  }

  #flushed(gen: number, unheard: number): void {
    const received = this.#flushes.get(gen);
    this.#flushes.delete(gen);
    if (received === undefined) return;
    const detail = { gen, unheard, received, dropped: performance.now() };
    this.dispatchEvent(new CustomEvent("flushed", { detail }));
  }

  #tapped(frame: number, samples: Float32Array, rate: number): void {
    this.tap ??= { rate, blocks: [] };
    this.tap.blocks.push({ frame, samples });
    if (this.tap.blocks.length * samples.length > TAP_MOST_S * rate) this.tap.blocks.shift();
  }

  #showSaved(): void {
    if (this.client?.welcomed) return;
    this.conversation = fromSnapshot(this.#model.get("snapshot"), null);
    this.#changed();
  }

  #set(change: () => void): void {
    change();
    this.#changed();
  }

  #changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}
