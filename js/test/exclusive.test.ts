import { beforeEach, expect, test, vi } from "vitest";
import { Exclusive } from "../src/audio/exclusive";

type Hold = (lock: object | null) => Promise<void> | undefined;
interface Options {
  steal?: boolean;
  ifAvailable?: boolean;
  signal?: AbortSignal;
}

/** One lock, as the browser's. */
class Locks {
  #holder: { reject(error: Error): void } | null = null;
  #waiting: (() => void)[] = [];

  request(_name: string, options: Options, hold: Hold): Promise<unknown> {
    if (this.#holder && options.ifAvailable) return Promise.resolve(hold(null));
    return new Promise((resolve, reject) => {
      const grant = (): void => {
        const holder = { reject };
        this.#holder = holder;
        void Promise.resolve(hold({})).then(() => {
          resolve(undefined);
          if (this.#holder !== holder) return;
          this.#holder = null;
          this.#waiting.shift()?.();
        });
      };
      if (!this.#holder) grant();
      else if (options.steal) {
        this.#holder.reject(new DOMException("stolen", "AbortError"));
        grant();
      } else {
        options.signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
        this.#waiting.push(grant);
      }
    });
  }
}

const settled = () => new Promise((done) => setTimeout(done, 0));

beforeEach(() => {
  vi.stubGlobal("navigator", { locks: new Locks() });
});

test("the last to take it has it, and the one before learns that it is lost", async () => {
  const [one, two] = [new Exclusive(), new Exclusive()];
  const [lostOne, lostTwo] = [vi.fn(), vi.fn()];
  expect(await one.take(lostOne)).toBe(true);
  expect(await two.take(lostTwo)).toBe(true);
  await settled();
  expect(lostOne).toHaveBeenCalledTimes(1);
  expect(lostTwo).not.toHaveBeenCalled();
});

test("who is polite takes it only if nobody has it", async () => {
  const [one, two] = [new Exclusive(), new Exclusive()];
  const lost = vi.fn();
  await one.take(lost);
  expect(await two.take(() => undefined, true)).toBe(false);
  one.leave();
  await settled();
  expect(await two.take(() => undefined, true)).toBe(true);
  expect(lost).not.toHaveBeenCalled();
});

test("who has left loses nothing", async () => {
  const [one, two] = [new Exclusive(), new Exclusive()];
  const lost = vi.fn();
  await one.take(lost);
  const taken = two.take(() => undefined);
  one.leave();
  await taken;
  await settled();
  expect(lost).not.toHaveBeenCalled();
});

test("the same session may take it again", async () => {
  const one = new Exclusive();
  const lost = vi.fn();
  await one.take(lost);
  expect(await one.take(lost)).toBe(true);
  await settled();
  expect(lost).not.toHaveBeenCalled();
});

test("it is free once its holder leaves", async () => {
  const [one, two] = [new Exclusive(), new Exclusive()];
  await one.take(() => undefined);
  const freed = vi.fn();
  void two.free(new AbortController().signal).then(freed);
  await settled();
  expect(freed).not.toHaveBeenCalled();
  one.leave();
  await settled();
  expect(freed).toHaveBeenCalled();
});

test("without locks everybody has it", async () => {
  vi.stubGlobal("navigator", {});
  expect(await new Exclusive().take(() => undefined)).toBe(true);
  vi.stubGlobal("navigator", { locks: { request: () => Promise.reject(new DOMException("no", "SecurityError")) } });
  expect(await new Exclusive().take(() => undefined)).toBe(true);
});
