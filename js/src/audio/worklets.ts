/** The two processors on the audio thread; thin, the work is in `Framer` and `Playback`. Built into one inlined script. */

import { type Chunk, Framer } from "./framer";
import { Playback } from "./playback";
import type { CaptureMessage, CaptureOptions, PlaybackMessage, PlaybackReport } from "./protocol";

declare const sampleRate: number;
declare const currentFrame: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(
  name: string,
  made: new (options: { processorOptions: CaptureOptions }) => AudioWorkletProcessor,
): void;

const TAP_BLOCK = 4096;

class Capture extends AudioWorkletProcessor {
  readonly #framer: Framer;
  readonly #done = ({ pcm, level }: Chunk): void => {
    this.port.postMessage({ pcm: pcm.buffer, level }, [pcm.buffer]);
  };
  #open = true;

  constructor({ processorOptions: { rate, chunkMs } }: { processorOptions: CaptureOptions }) {
    super();
    this.#framer = new Framer(sampleRate, rate, chunkMs);
    this.port.onmessage = ({ data }: MessageEvent<CaptureMessage>) => {
      if ("muted" in data) this.#framer.muted = data.muted;
      else this.#open = false;
    };
  }

  process(inputs: Float32Array[][]): boolean {
    const channels = inputs[0];
    if (channels?.length) this.#framer.feed(channels, this.#done);
    return this.#open;
  }
}

class Speaker extends AudioWorkletProcessor {
  readonly #playback = new Playback(sampleRate);
  #tap: Float32Array<ArrayBuffer> | null = null;
  #tapped = 0;
  #reportAt = 0;
  #activeUntil = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<PlaybackMessage>) => {
      if ("pcm" in data) {
        const { gen, start, rate, pcm } = data;
        this.#playback.push(gen, start, rate, new Int16Array(pcm));
      } else if ("flush" in data) {
        this.#report();
        const unheard = this.#playback.flush(data.flush);
        this.#post({ flushed: data.flush, unheard });
        this.#report();
      } else if ("drop" in data) this.#playback.drop();
      else this.#tap = data.tap ? new Float32Array(TAP_BLOCK) : null;
    };
  }

  process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const channels = outputs[0] ?? [];
    const first = channels[0];
    if (!first) return true;
    this.#playback.read(first);
    for (let at = 1; at < channels.length; at++) channels[at]?.set(first);
    if (this.#tap) this.#copy(first);
    if (currentFrame >= this.#reportAt) this.#tick();
    return true;
  }

  /** Report ten times a second, and half a second longer than there is audio: the device plays what it got. */
  #tick(): void {
    this.#reportAt = currentFrame + sampleRate / 10;
    if (this.#playback.report().playing) this.#activeUntil = currentFrame + sampleRate / 2;
    if (currentFrame <= this.#activeUntil) this.#report();
  }

  #report(): void {
    this.#post({ report: this.#playback.report() });
  }

  #copy(output: Float32Array): void {
    const tap = this.#tap as Float32Array<ArrayBuffer>;
    tap.set(output, this.#tapped);
    this.#tapped += output.length;
    if (this.#tapped < TAP_BLOCK) return;
    this.#tapped = 0;
    this.#tap = new Float32Array(TAP_BLOCK);
    this.#post({ frame: currentFrame + output.length - TAP_BLOCK, tapped: tap.buffer }, [tap.buffer]);
  }

  #post(message: PlaybackReport, transfer: Transferable[] = []): void {
    this.port.postMessage(message, transfer);
  }
}

registerProcessor("backchannel-capture", Capture);
registerProcessor("backchannel-playback", Speaker);
