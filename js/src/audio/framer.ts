/** From the device's samples to chunks for the model: mono, its rate, signed 16 bit. Pure; runs on the audio thread. */

import { Resampler } from "./resample";

export interface Chunk {
  pcm: Int16Array<ArrayBuffer>;
  /** Root mean square of the chunk, 0 to 1. */
  level: number;
}

export class Framer {
  /** Chunks are silent while this is set, but go on: the model counts time by them. */
  muted = false;
  readonly #resampler: Resampler;
  readonly #mono: Float32Array;
  readonly #frame: Float32Array;
  #filled = 0;

  /** Rates in Hz; `quantum` is the most samples that one `feed` brings. */
  constructor(from: number, to: number, chunkMs: number, quantum = 2048) {
    this.#resampler = new Resampler(from, to);
    this.#mono = new Float32Array(quantum);
    this.#frame = new Float32Array(Math.max(1, Math.round((to * chunkMs) / 1000)));
  }

  /** Take in one quantum, a block for each channel; every finished chunk goes to `done`. */
  feed(channels: readonly Float32Array[], done: (chunk: Chunk) => void): void {
    const count = Math.min(channels[0]?.length ?? 0, this.#mono.length);
    this.#mono.fill(0, 0, count);
    if (!this.muted) {
      for (const channel of channels) {
        for (let i = 0; i < count; i++) (this.#mono[i] as number) += (channel[i] as number) / channels.length;
      }
    }
    this.#resampler.push(this.#mono, 0, count);
    for (;;) {
      this.#filled += this.#resampler.pull(this.#frame, this.#filled, this.#frame.length - this.#filled);
      if (this.#filled < this.#frame.length) return;
      this.#filled = 0;
      done(this.#chunk());
    }
  }

  #chunk(): Chunk {
    const pcm = new Int16Array(this.#frame.length);
    let energy = 0;
    for (let i = 0; i < pcm.length; i++) {
      const sample = Math.min(1, Math.max(-1, this.#frame[i] as number));
      energy += sample * sample;
      pcm[i] = Math.round(sample * 32767);
    }
    return { pcm, level: Math.sqrt(energy / pcm.length) };
  }
}
