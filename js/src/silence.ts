/**
 * When a microphone that nobody talks to is muted. Silence is a time without words: none that the model recognized,
 * and none of its voice. The level would not do, because a fan is loud and says nothing. Pure; times in milliseconds.
 */

const WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

/** How long it lasts at most where nothing else is said; seconds. */
export const SILENCE_S = 600;

export class Silence {
  #since: number | null = null;

  /** Something was said, or the microphone is not heard anyway. */
  end(): void {
    this.#since = null;
  }

  /** Whether it has lasted `seconds`; 0 is for ever. Call it while the microphone is heard. */
  over(now: number, seconds: number): boolean {
    this.#since ??= now;
    return seconds > 0 && now - this.#since >= 1000 * seconds;
  }
}

/** A time in words, as in "ten minutes". */
export function duration(seconds: number): string {
  const minutes = seconds / 60;
  const [count, unit] = Number.isInteger(minutes) ? [minutes, "minute"] : [seconds, "second"];
  return `${WORDS[count] ?? count} ${unit}${count === 1 ? "" : "s"}`;
}
