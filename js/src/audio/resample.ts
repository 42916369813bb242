/** Band-limited conversion between sample rates, chunk by chunk. Pure; runs on the audio thread, allocates when made only. */

const ZEROS = 16;
const BETA = 8;
const PASS = 0.92;

/**
 * A polyphase windowed-sinc filter for any two whole rates in Hz. Output sample `m` lies at input time
 * `m * from / to`, so nothing is delayed; the last `half` input samples wait for those after them.
 */
export class Resampler {
  /** Input samples needed on each side of a point in time. */
  readonly half: number;
  readonly #up: number;
  readonly #down: number;
  readonly #taps: number;
  readonly #phases: Float32Array[];
  #history: Float32Array<ArrayBuffer>;
  /** Samples in the history; the first one has input index `#base`. */
  #held = 0;
  #base = 0;
  /** Where the next output sample lies: input index `#index` plus `#phase / #up`. */
  #index = 0;
  #phase = 0;

  constructor(from: number, to: number) {
    const common = gcd(from, to);
    this.#up = to / common;
    this.#down = from / common;
    const cutoff = Math.min(1, to / from) * PASS;
    this.half = Math.ceil(ZEROS / cutoff);
    this.#taps = 2 * this.half;
    this.#phases = Array.from({ length: this.#up }, (_, phase) => {
      const taps = new Float32Array(this.#taps);
      let sum = 0;
      for (let k = 0; k < this.#taps; k++) {
        const x = k - this.half + 1 - phase / this.#up;
        taps[k] = sinc(cutoff * x) * kaiser(x / this.half);
        sum += taps[k] as number;
      }
      return taps.map((tap) => tap / sum);
    });
    this.#history = new Float32Array(4096);
    this.reset();
  }

  /** Forget everything: the next input sample is the first one, with silence before it. */
  reset(): void {
    this.#history.fill(0);
    this.#held = this.half - 1;
    this.#base = -this.#held;
    this.#index = 0;
    this.#phase = 0;
  }

  /** How many input samples must come before `count` output samples can be taken. */
  needs(count: number): number {
    if (count <= 0) return 0;
    const last = this.#index + Math.floor((this.#phase + (count - 1) * this.#down) / this.#up);
    return Math.max(0, last + this.half + 1 - (this.#base + this.#held));
  }

  /** Take in `count` samples of `input` from `offset`. */
  push(input: Float32Array, offset: number, count: number): void {
    this.#reserve(count);
    for (let i = 0; i < count; i++) this.#history[this.#held + i] = input[offset + i] as number;
    this.#held += count;
  }

  /** Take in silence. */
  pushSilence(count: number): void {
    this.#reserve(count);
    this.#history.fill(0, this.#held, this.#held + count);
    this.#held += count;
  }

  /** Write up to `count` output samples to `output` from `offset`; returns how many there were. */
  pull(output: Float32Array, offset: number, count: number): number {
    let made = 0;
    while (made < count && this.#index + this.half < this.#base + this.#held) {
      const taps = this.#phases[this.#phase] as Float32Array;
      const first = this.#index - this.half + 1 - this.#base;
      let sum = 0;
      for (let k = 0; k < this.#taps; k++) sum += (taps[k] as number) * (this.#history[first + k] as number);
      output[offset + made] = sum;
      made += 1;
      this.#phase += this.#down;
      this.#index += Math.floor(this.#phase / this.#up);
      this.#phase %= this.#up;
    }
    return made;
  }

  #reserve(count: number): void {
    const spent = Math.min(this.#index - this.half + 1 - this.#base, this.#held);
    if (this.#held + count <= this.#history.length) return;
    this.#history.copyWithin(0, spent, this.#held);
    this.#base += spent;
    this.#held -= spent;
    if (this.#held + count <= this.#history.length) return;
    const larger = new Float32Array(2 * (this.#held + count));
    larger.set(this.#history.subarray(0, this.#held));
    this.#history = larger;
  }
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function kaiser(x: number): number {
  return Math.abs(x) > 1 ? 0 : bessel(BETA * Math.sqrt(1 - x * x)) / bessel(BETA);
}

function bessel(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-10 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
