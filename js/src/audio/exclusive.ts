/** The microphone belongs to one session in this browser, whatever tab or notebook shows it: the last to take it. */

const NAME = "backchannel:microphone";

export class Exclusive {
  #leave: () => void = () => undefined;

  /**
   * Take it from whoever has it, or with `polite` only if nobody does. False if it was not taken; `lost` is called
   * when another session takes it.
   */
  take(lost: () => void, polite = false): Promise<boolean> {
    this.leave();
    let held = false;
    let left = false;
    const end = new Promise<void>((done) => {
      this.#leave = () => {
        left = true;
        done();
      };
    });
    // A page without locks shares no microphone with others.
    const { locks } = globalThis.navigator ?? {};
    if (!locks) return Promise.resolve(true);
    return new Promise((done) => {
      const had = (lock: Lock | null): Promise<void> | undefined => {
        held = lock !== null;
        done(held);
        return held ? end : undefined;
      };
      locks.request(NAME, polite ? { ifAvailable: true } : { steal: true }, had).catch(() => {
        if (!held) done(true);
        else if (!left) lost();
      });
    });
  }

  leave(): void {
    this.#leave();
  }

  /** Resolves once nobody has it; rejects when `signal` is aborted first. */
  async free(signal: AbortSignal): Promise<void> {
    await globalThis.navigator?.locks?.request(NAME, { signal }, () => undefined);
  }
}
