/** The voice on its way to the speaker: waits for enough, plays at the device's rate, counts, drops on a flush. Pure. */

import { Resampler } from "./resample";

const CAPACITY_S = 12;
const TARGET_MS = 60;
const FADE_MS = 3;
/** A shorter pause inside a generation is a gap, a longer one is the end of a response. */
const GAP_MS = 300;

export interface Report {
  gen: number;
  /** Samples of the generation at the rate of its audio, counted from its first. */
  received: number;
  played: number;
  /** Gaps since the page started. */
  underruns: number;
  rate: number;
  playing: boolean;
}

export class Playback {
  readonly #deviceRate: number;
  readonly #fade: Float32Array;
  readonly #silence = new Float32Array(1024);
  #fadeAt: number;
  #ring = new Float32Array(0);
  #rate = 0;
  #resampler: Resampler | null = null;
  #gen = 0;
  /** Positions in the generation: the next sample to arrive, and to go into the resampler. */
  #end = 0;
  #next = 0;
  /** Where playback began since the resampler was reset, and the device samples made since. */
  #origin = 0;
  #made = 0;
  #state: "idle" | "filling" | "playing" | "draining" = "idle";
  #waited = 0;
  #underruns = 0;
  #started = false;

  constructor(deviceRate: number) {
    this.#deviceRate = deviceRate;
    this.#fade = new Float32Array(Math.round((deviceRate * FADE_MS) / 1000));
    this.#fadeAt = this.#fade.length;
  }

  /** Samples of `gen` from position `start`, at `rate` Hz. Audio of an older generation is dropped. */
  push(gen: number, start: number, rate: number, pcm: Int16Array): void {
    if (gen < this.#gen) return;
    if (gen > this.#gen) this.flush(gen);
    if (rate !== this.#rate) this.#tune(rate);
    const empty = this.#end === this.#next;
    if (!this.#started || (empty && this.#state === "idle" && start > this.#end)) this.#place(start);
    this.#started = true;
    const lost = start - this.#end;
    if (lost > this.#room()) this.#place(start);
    for (let i = 0; i < start - this.#end; i++) this.#ring[(this.#end + i) % this.#ring.length] = 0;
    this.#end = Math.max(this.#end, start);
    const known = this.#end - start;
    const count = Math.min(pcm.length - known, this.#room());
    for (let i = 0; i < count; i++) {
      this.#ring[(this.#end + i) % this.#ring.length] = (pcm[known + i] as number) / 32768;
    }
    if (count <= 0) return;
    this.#end += count;
    if (this.#state !== "idle") return;
    if (this.#made > 0 && this.#waited < (GAP_MS * this.#deviceRate) / 1000) this.#underruns += 1;
    this.#state = "filling";
    this.#waited = 0;
  }

  /** Drop everything older than `gen` with a short fade; returns how many samples were never played. */
  flush(gen: number): number {
    if (gen <= this.#gen) return 0;
    const unheard = this.drop();
    this.#gen = gen;
    this.#started = false;
    this.#place(0);
    return unheard;
  }

  /** Drop what waits, within the generation; returns how many samples were never played. */
  drop(): number {
    const unheard = this.#end - this.report().played;
    this.#fadeAt = this.#fade.length;
    if (this.#audible()) {
      this.#render(this.#fade, this.#fade.length);
      for (let i = 0; i < this.#fade.length; i++) (this.#fade[i] as number) *= 1 - (i + 1) / this.#fade.length;
      this.#fadeAt = 0;
    }
    this.#waited = 0;
    this.#place(this.#end);
    return unheard;
  }

  /** Fill one quantum for the device. */
  read(output: Float32Array): void {
    output.fill(0);
    if (this.#state === "idle") this.#waited += output.length;
    if (this.#state === "filling") {
      this.#waited += output.length;
      const enough = (this.#end - this.#next) * 1000 >= TARGET_MS * this.#rate;
      if (enough || this.#waited * 1000 >= TARGET_MS * this.#deviceRate) {
        this.#restart();
        this.#state = "playing";
      }
    }
    if (this.#audible()) this.#render(output, output.length);
    for (let i = 0; i < output.length && this.#fadeAt < this.#fade.length; i++) {
      (output[i] as number) += this.#fade[this.#fadeAt++] as number;
    }
  }

  report(): Report {
    const played = this.#audible() ? Math.min(this.#next, this.#reached()) : this.#next;
    return {
      gen: this.#gen,
      received: this.#end,
      played,
      underruns: this.#underruns,
      rate: this.#rate,
      playing: this.#state !== "idle",
    };
  }

  #render(output: Float32Array, count: number): void {
    const resampler = this.#resampler;
    if (!resampler) return;
    const wanted = resampler.needs(count);
    const there = this.#state === "draining" ? 0 : Math.min(wanted, this.#end - this.#next);
    const at = this.#next % this.#ring.length;
    const first = Math.min(there, this.#ring.length - at);
    resampler.push(this.#ring, at, first);
    resampler.push(this.#ring, 0, there - first);
    this.#next += there;
    for (let missing = wanted - there; missing > 0; missing -= this.#silence.length) {
      resampler.pushSilence(Math.min(missing, this.#silence.length));
    }
    resampler.pull(output, 0, count);
    this.#made += count;
    if (there < wanted) this.#state = "draining";
    if (this.#state === "draining" && this.#reached() >= this.#next) this.#dry();
  }

  /** The last sample has been played. */
  #dry(): void {
    this.#waited = 0;
    this.#state = this.#end > this.#next ? "filling" : "idle";
    if (this.#state === "filling") this.#underruns += 1;
  }

  #reached(): number {
    return this.#origin + Math.floor((this.#made * this.#rate) / this.#deviceRate);
  }

  #audible(): boolean {
    return this.#state === "playing" || this.#state === "draining";
  }

  #room(): number {
    return this.#ring.length - (this.#end - this.#next);
  }

  #tune(rate: number): void {
    this.#rate = rate;
    this.#ring = new Float32Array(CAPACITY_S * rate);
    this.#resampler = new Resampler(rate, this.#deviceRate);
    this.#started = false;
    this.#place(this.#end);
  }

  /** Empty the ring; the next sample is number `position` of the generation. */
  #place(position: number): void {
    this.#end = position;
    this.#next = position;
    this.#made = 0;
    this.#state = "idle";
  }

  #restart(): void {
    this.#resampler?.reset();
    this.#origin = this.#next;
    this.#made = 0;
  }
}
