import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Client } from "../src/client";
import { kernelState, type WidgetModel } from "../src/host";

type Content = Record<string, unknown>;

class Page implements WidgetModel {
  sent: Content[] = [];
  seen: Content[] = [];
  unanswered: boolean[] = [];
  progress = { seq: 0, version: 0 };
  status = "idle";
  connectionStatus = "connected";
  readonly #slots = new Set<() => void>();
  readonly #life = new AbortController();
  readonly client: Client;
  #receive: (content: unknown) => void = () => undefined;

  constructor() {
    this.client = new Client(this, this.#life.signal, {
      message: (message) => this.seen.push({ ...message }),
      kernel: (kernel) => this.seen.push({ kernel }),
      unanswered: (value) => this.unanswered.push(value),
      progress: () => this.progress,
    });
  }

  readonly widget_manager = {
    kernel: {
      page: this,
      get status() {
        return this.page.status;
      },
      get connectionStatus() {
        return this.page.connectionStatus;
      },
      statusChanged: { connect: (slot: () => void) => this.#slots.add(slot), disconnect: () => undefined },
    },
  };

  get(): unknown {
    return { model_id: "m1" };
  }

  on(_name: string, callback: (...values: never[]) => void): void {
    this.#receive = callback as (content: unknown) => void;
  }

  off(): void {
    this.#receive = () => undefined;
  }

  send(content: unknown): void {
    this.sent.push(content as Content);
  }

  says(content: Content): void {
    this.#receive({ to: this.client.id, ...content });
  }

  kernelBecomes(status: string, connectionStatus = "connected"): void {
    [this.status, this.connectionStatus] = [status, connectionStatus];
    for (const slot of this.#slots) slot();
  }

  leave(): void {
    this.#life.abort();
  }

  kinds(): unknown[] {
    return this.sent.splice(0).map((message) => message.k);
  }
}

const welcome = { k: "welcome", seq: 3, version: 0, snapshot: {} };
let page: Page;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
  vi.stubGlobal("window", globalThis);
  vi.stubGlobal("navigator", {});
  page = new Page();
  await Promise.resolve();
});

afterEach(() => {
  page.leave();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test("it greets at once, and again later and later until it is welcomed", () => {
  expect(page.sent[0]).toEqual({ k: "hello", client: page.client.id, version: 1, lab: false, keeps: false });
  vi.advanceTimersByTime(3500);
  expect(page.kinds()).toEqual(["hello", "hello", "hello"]);
  page.says(welcome);
  vi.advanceTimersByTime(60_000);
  expect(page.kinds()).toEqual([]);
  expect(page.client.welcomed).toBe(true);
});

test("what is for another page, or for nobody, is ignored and what is strange is counted", () => {
  const warned = vi.spyOn(console, "warn").mockReturnValue(undefined);
  page.says({ ...welcome, to: "another" });
  page.says({ k: "later" });
  page.says({ k: "heard", n: -1 });
  expect(page.client.welcomed).toBe(false);
  expect(page.client.strange).toBe(2);
  expect(warned).toHaveBeenCalledOnce();
});

test("acknowledgements are at most ten a second, an urgent one goes at once", () => {
  page.says(welcome);
  page.kinds();
  for (let n = 1; n <= 10; n++) {
    page.progress = { seq: n, version: 0 };
    page.client.acknowledge();
    vi.advanceTimersByTime(20);
  }
  expect(page.sent.map((message) => message.seq)).toEqual([1, 5, 10]);
  page.kinds();
  page.client.acknowledge(true);
  expect(page.sent.map((message) => message.seq)).toEqual([10]);
  page.kinds();
  vi.advanceTimersByTime(1000);
  expect(page.kinds()).toEqual([]);
});

test("who asks and gets no answer within a second is told so, and told when it comes", () => {
  page.says(welcome);
  page.kinds();
  page.client.ask({ k: "say", text: "hello" });
  expect(page.kinds()).toEqual(["say", "ping"]);
  vi.advanceTimersByTime(1500);
  expect(page.unanswered).toEqual([true]);
  page.says({ k: "pong", t: performance.now() });
  expect(page.unanswered).toEqual([true, false]);
});

test("after a lost connection it greets again; after a restart it sends nothing more", () => {
  page.says(welcome);
  page.kernelBecomes("unknown", "connecting");
  page.kinds();
  page.kernelBecomes("idle");
  expect(page.kinds()).toEqual(["hello"]);
  page.kernelBecomes("restarting");
  page.kernelBecomes("idle");
  expect(page.client.kernel).toBe("replaced");
  expect(page.client.send({ k: "release" })).toBe(false);
  page.kinds();
  vi.advanceTimersByTime(60_000);
  expect(page.kinds()).toEqual([]);
});

test("nothing is sent or heard after its end", () => {
  page.leave();
  page.kinds();
  page.says(welcome);
  vi.advanceTimersByTime(60_000);
  expect(page.kinds()).toEqual([]);
  expect(page.client.welcomed).toBe(false);
});

test("the kernel's state is read from JupyterLab's words", () => {
  expect(kernelState(undefined)).toBe("connected");
  expect(kernelState({ status: "busy", connectionStatus: "connected" })).toBe("connected");
  expect(kernelState({ status: "unknown", connectionStatus: "connecting" })).toBe("connecting");
  expect(kernelState({ status: "autorestarting", connectionStatus: "connected" })).toBe("restarting");
  expect(kernelState({ status: "dead", connectionStatus: "disconnected" })).toBe("gone");
});
