/** The page's audio: one AudioContext at the device's own rate, a microphone and a speaker in it. */

import script from "worklet:./worklets.ts";
import type { Microphone, Sound } from "../status";
import { microphoneFault } from "../status";
import { Exclusive } from "./exclusive";
import { type Heard, HeardMeter } from "./heard";
import type { CaptureChunk, CaptureMessage, CaptureOptions, PlaybackMessage, PlaybackReport } from "./protocol";

const RESUME_MS = 500;

export interface EngineEvents {
  chunk(pcm: ArrayBuffer, level: number): void;
  heard(heard: Heard): void;
  flushed(gen: number, unheard: number): void;
  microphone(state: Microphone): void;
  sound(state: Sound): void;
  /** Tests only: what the speaker's processor gave out; `frame` is the context frame of its first sample. */
  tapped(frame: number, samples: Float32Array, rate: number): void;
}

export interface CaptureSettings extends CaptureOptions {
  constraints: MediaTrackConstraints;
}

/** Where the worklets' script may come from when blob: and data: are forbidden; set by the JupyterLab extension. */
export type ScriptUrl = () => string | undefined;

export class AudioEngine {
  readonly #events: EngineEvents;
  readonly #fallback: ScriptUrl;
  readonly #meter = new HeardMeter();
  readonly #exclusive = new Exclusive();
  #context: AudioContext | null = null;
  #opening: Promise<boolean> | null = null;
  #speaker: AudioWorkletNode | null = null;
  #gain: GainNode | null = null;
  #stream: MediaStream | null = null;
  #capture: AudioWorkletNode | null = null;
  #source: MediaStreamAudioSourceNode | null = null;
  readonly #closed = new AbortController();
  #attempt = 0;
  #volume = 1;
  #muted = false;
  #tap = false;
  #gen = 0;

  constructor(events: EngineEvents, fallback: ScriptUrl) {
    this.#events = events;
    this.#fallback = fallback;
  }

  set volume(value: number) {
    this.#volume = value;
    if (this.#gain && this.#context) this.#gain.gain.setTargetAtTime(value, this.#context.currentTime, 0.01);
  }

  set muted(value: boolean) {
    this.#muted = value;
    this.#toCapture({ muted: value });
  }

  set tap(value: boolean) {
    this.#tap = value;
    this.#toSpeaker({ tap: value });
  }

  /** Make the speaker ready; false where it cannot be, `sound` says why. Best called from a click. */
  async open(): Promise<boolean> {
    const opened = await this.#ready();
    const context = this.#context;
    if (!opened || !context) return false;
    // Without a gesture resume() never settles.
    const late = new Promise((done) => setTimeout(done, RESUME_MS));
    if (context.state !== "running") await Promise.race([context.resume().catch(() => undefined), late]);
    this.#soundState();
    return context.state === "running";
  }

  /**
   * Open the microphone, and close any other session's in this browser; `polite` leaves that one alone and opens
   * none. `microphone` tells how it went.
   */
  async listen({ rate, chunkMs, constraints }: CaptureSettings, polite = false): Promise<boolean> {
    this.deafen();
    const attempt = ++this.#attempt;
    if (!navigator.mediaDevices) return this.#microphone("insecure");
    this.#microphone("asking");
    const taken = await this.#exclusive.take(() => attempt === this.#attempt && this.#elsewhere(), polite);
    if (attempt !== this.#attempt) return false;
    if (!taken) return this.#microphone("none");
    let stream: MediaStream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: constraints });
    } catch (error) {
      if (attempt !== this.#attempt) return false;
      this.#exclusive.leave();
      return this.#microphone(microphoneFault(error));
    }
    if (attempt !== this.#attempt) {
      for (const track of stream.getTracks()) track.stop();
      return false;
    }
    this.#stream = stream; // From here on it can be closed, also while the speaker opens.
    const opened = await this.open().catch(() => false);
    if (attempt !== this.#attempt) return false;
    if (!this.#context || (!opened && !this.#speaker)) {
      this.deafen();
      return false;
    }
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#capture = new AudioWorkletNode(this.#context, "backchannel-capture", {
      numberOfOutputs: 0,
      processorOptions: { rate, chunkMs } satisfies CaptureOptions,
    });
    this.#toCapture({ muted: this.#muted });
    this.#capture.port.onmessage = ({ data }: MessageEvent<CaptureChunk>) => {
      if (attempt === this.#attempt) this.#events.chunk(data.pcm, data.level);
    };
    stream.getAudioTracks()[0]?.addEventListener("ended", () => {
      if (attempt !== this.#attempt) return;
      this.deafen();
      this.#microphone("lost");
    });
    this.#source.connect(this.#capture);
    this.#soundState();
    return this.#microphone("on");
  }

  /** Close the microphone, and the question for it. */
  deafen(): void {
    this.#attempt += 1;
    this.#toCapture({ close: true });
    this.#source?.disconnect();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#source = null;
    this.#capture = null;
    this.#exclusive.leave();
    this.#microphone("none");
  }

  /** Another session took the microphone. */
  #elsewhere(): void {
    this.deafen();
    const attempt = this.#attempt;
    this.#microphone("elsewhere");
    const free = () => attempt === this.#attempt && this.#microphone("none");
    this.#exclusive.free(this.#closed.signal).then(free, () => undefined);
  }

  /** A chunk of voice; its samples are given away. Without a speaker it is dropped. */
  play(gen: number, start: number, rate: number, pcm: Int16Array<ArrayBuffer>): void {
    const send = () => this.#toSpeaker({ gen, start, rate, pcm: pcm.buffer }, [pcm.buffer]);
    if (this.#speaker) send();
    else void this.#ready().then(send);
  }

  /** Be silent at once; later audio of the same generation is played again. */
  silence(): void {
    this.#toSpeaker({ drop: true });
  }

  /** Drop all audio older than `gen` at once. */
  flush(gen: number): void {
    if (gen <= this.#gen) return;
    this.#gen = gen;
    this.#toSpeaker({ flush: gen });
  }

  close(): void {
    this.deafen();
    this.#closed.abort();
    void this.#context?.close().catch(() => undefined);
    this.#context = null;
    this.#speaker = null;
    this.#opening = null;
  }

  #ready(): Promise<boolean> {
    this.#opening ??= this.#make().then((made) => {
      if (!made) this.#opening = null;
      return made;
    });
    return this.#opening;
  }

  async #make(): Promise<boolean> {
    if (typeof AudioContext === "undefined" || !("audioWorklet" in AudioContext.prototype)) {
      this.#events.sound("insecure");
      return false;
    }
    const context = new AudioContext({ latencyHint: "interactive" });
    if (!context.audioWorklet || !(await this.#load(context.audioWorklet))) {
      this.#events.sound(window.isSecureContext ? "blocked" : "insecure");
      void context.close();
      return false;
    }
    const speaker = new AudioWorkletNode(context, "backchannel-playback", {
      numberOfInputs: 0,
      outputChannelCount: [2],
    });
    this.#gain = new GainNode(context, { gain: this.#volume });
    speaker.connect(this.#gain).connect(context.destination);
    speaker.port.onmessage = ({ data }: MessageEvent<PlaybackReport>) => this.#reported(data, context);
    context.onstatechange = () => this.#soundState();
    this.#context = context;
    this.#speaker = speaker;
    this.#toSpeaker({ tap: this.#tap });
    if (this.#gen > 0) this.#toSpeaker({ flush: this.#gen });
    this.#soundState();
    return true;
  }

  async #load(worklet: AudioWorklet): Promise<boolean> {
    const blob = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const data = `data:text/javascript;charset=utf-8,${encodeURIComponent(script)}`;
    try {
      for (const url of [blob, data, this.#fallback()]) {
        if (!url) continue;
        const loaded = await worklet.addModule(url).then(
          () => true,
          () => false,
        );
        if (loaded) return true;
      }
      return false;
    } finally {
      URL.revokeObjectURL(blob);
    }
  }

  #reported(message: PlaybackReport, context: AudioContext): void {
    if ("report" in message) {
      const latency = context.outputLatency || context.baseLatency || 0;
      const heard = this.#meter.take(message.report, context.currentTime, latency);
      if (heard) this.#events.heard(heard);
    } else if ("flushed" in message) this.#events.flushed(message.flushed, message.unheard);
    else this.#events.tapped(message.frame, new Float32Array(message.tapped), context.sampleRate);
  }

  #microphone(state: Microphone): boolean {
    this.#events.microphone(state);
    return state === "on";
  }

  #soundState(): void {
    if (this.#context) this.#events.sound(this.#context.state === "running" ? "on" : "needs-click");
  }

  #toSpeaker(message: PlaybackMessage, transfer: Transferable[] = []): void {
    this.#speaker?.port.postMessage(message, transfer);
  }

  #toCapture(message: CaptureMessage): void {
    this.#capture?.port.postMessage(message);
  }
}
