/** What has left the speaker: what the worklet has given out, less the device's own delay. Pure. */

import type { Report } from "./playback";

export interface Heard {
  gen: number;
  received: number;
  played: number;
  underruns: number;
}

export class HeardMeter {
  #last: Heard | null = null;
  #drained: { gen: number; played: number; at: number } | null = null;

  /** What to tell the kernel of a report made at `now` (s), or null when nothing is new; `latency` in seconds. */
  take(report: Report, now: number, latency: number): Heard | null {
    const { gen, received, underruns, rate } = report;
    if (this.#last && gen < this.#last.gen) return null;
    if (report.playing) this.#drained = null;
    else if (this.#drained?.gen !== gen || this.#drained.played !== report.played) {
      this.#drained = { gen, played: report.played, at: now };
    }
    const since = this.#drained ? now - this.#drained.at : 0;
    const behind = Math.max(0, Math.ceil((latency - since) * rate));
    const before = this.#last?.gen === gen ? this.#last.played : 0;
    const played = Math.max(before, report.played - behind, 0);
    const next = { gen, received, played, underruns };
    const last = this.#last;
    if (last && last.gen === gen && last.received === received && last.played === played) return null;
    this.#last = next;
    return next;
  }
}
