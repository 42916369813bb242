/** Whether the kernel keeps up with what this page sends, and when to ask it. Pure; times in milliseconds. */

const PATIENCE = 1000;
const PING_EVERY = 500;
const PING_LOST = 2000;
const SENT_MOST = 256;

export class Link {
  /** Unanswered for more than a second: audio is to be dropped, not queued. */
  paused = false;
  #unheard: { n: number; at: number }[] = [];
  #asked: number | null = null;
  #last = Number.NEGATIVE_INFINITY;
  #wanted = false;

  /** A chunk of microphone went out. */
  sent(n: number, now: number): void {
    this.#unheard.push({ n, at: now });
    if (this.#unheard.length > SENT_MOST) this.#unheard.shift();
  }

  /** The kernel has chunks up to `n`. */
  heard(n: number): void {
    const left = this.#unheard.findIndex((chunk) => chunk.n > n);
    this.#unheard = left < 0 ? [] : this.#unheard.slice(left);
  }

  /** Something was sent that the next ping shall vouch for. */
  want(): void {
    this.#wanted = true;
  }

  /** The kernel answered a ping: all that was sent before it has arrived. */
  ponged(t: number): void {
    if (this.#asked === null || t < this.#asked) return;
    this.#asked = null;
    this.#unheard = this.#unheard.filter((chunk) => chunk.at > t);
    this.paused = false;
  }

  /** A new connection: what was sent before does not count any more. */
  reset(): void {
    this.paused = false;
    this.#unheard = [];
    this.#asked = null;
    this.#wanted = false;
  }

  /** Bring `paused` up to date; returns the `t` of the ping to send now, or null. */
  tick(now: number): number | null {
    const oldest = Math.min(this.#unheard[0]?.at ?? now, this.#asked ?? now);
    if (now - oldest > PATIENCE) this.paused = true;
    const due = this.paused || this.#wanted;
    const free = this.#asked === null || now - this.#last > PING_LOST;
    if (!due || !free || now - this.#last < PING_EVERY) return null;
    this.#wanted = false;
    this.#asked ??= now;
    this.#last = now;
    return now;
  }
}
