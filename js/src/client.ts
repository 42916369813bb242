/** One page's end of a widget: greets the kernel, sends, acknowledges, and notices when nobody answers. */

import { clientId, type WidgetModel, watchKernel } from "./host";
import { Link } from "./link";
import { NotebookOutputs, notebookOf } from "./outputs";
import type { Kernel } from "./status";
import { type FromPage, parse, type ToPage, VERSION } from "./wire";

const ACK_MS = 100;
const TICK_MS = 250;
const GREET_MS = [1000, 2000, 4000, 8000, 15000];

type Outgoing = FromPage extends infer M ? (M extends FromPage ? Omit<M, "client"> : never) : never;

export interface ClientEvents {
  /** A message for this page, with its audio. */
  message(message: ToPage, buffer: ArrayBuffer | ArrayBufferView | undefined): void;
  kernel(kernel: Kernel): void;
  unanswered(unanswered: boolean): void;
  /** How far operations and rows have arrived. */
  progress(): { seq: number; version: number };
}

export class Client {
  id = "";
  kernel: Kernel = "connected";
  welcomed = false;
  /** Messages that were not of this protocol. */
  strange = 0;
  readonly link = new Link();
  readonly #model: WidgetModel;
  readonly #events: ClientEvents;
  readonly #outputs: NotebookOutputs | null;
  #acking = 0;
  #acked = Number.NEGATIVE_INFINITY;
  #greeting = 0;
  #greeted = 0;
  #paused = false;

  constructor(model: WidgetModel, signal: AbortSignal, events: ClientEvents) {
    this.#model = model;
    this.#events = events;
    const notebook = notebookOf(model);
    this.#outputs = notebook && new NotebookOutputs(notebook, signal);
    const receive = (content: unknown, buffers?: (ArrayBuffer | ArrayBufferView)[]) =>
      this.#receive(content, buffers?.[0]);
    model.on("msg:custom", receive);
    const ticking = setInterval(() => this.#tick(), TICK_MS);
    signal.addEventListener("abort", () => {
      model.off("msg:custom", receive);
      clearInterval(ticking);
      clearTimeout(this.#acking);
      clearTimeout(this.#greeting);
    });
    void clientId(model, signal).then((id) => {
      if (signal.aborted) return;
      this.id = id;
      watchKernel(model, signal, (kernel) => this.#kernelIs(kernel));
    });
  }

  /** False when there is no kernel to send to; nothing was sent. */
  send(message: Outgoing, buffer?: ArrayBuffer): boolean {
    if (!this.id || this.kernel === "gone" || this.kernel === "restarting" || this.kernel === "replaced") return false;
    const { k, ...fields } = message;
    this.#model.send({ k, client: this.id, ...fields }, {}, buffer ? [buffer] : []);
    return true;
  }

  /** Send something that a person waits for: without an answer within a second the page says so. */
  ask(message: Outgoing): boolean {
    const sent = this.send(message);
    if (sent) {
      this.link.want();
      this.#tick();
    }
    return sent;
  }

  /** Acknowledge at once, or, when that was just done and it is not urgent, soon. */
  acknowledge(urgent = false): void {
    const wait = urgent ? 0 : this.#acked + ACK_MS - performance.now();
    if (wait <= 0) {
      clearTimeout(this.#acking);
      this.#acking = 0;
      this.#acked = performance.now();
      this.send({ k: "ack", ...this.#events.progress() });
    } else if (!this.#acking) this.#acking = window.setTimeout(() => this.acknowledge(true), wait);
  }

  /** Ask for the whole state; again, later and later, until it comes. */
  greet(): void {
    clearTimeout(this.#greeting);
    this.welcomed = false;
    const lab = window.__backchannel_lab !== undefined;
    this.send({ k: "hello", version: VERSION, lab, keeps: this.#outputs !== null });
    const wait = GREET_MS[Math.min(this.#greeted++, GREET_MS.length - 1)];
    this.#greeting = window.setTimeout(() => this.greet(), wait);
  }

  /** Bring the link up to date. */
  #tick(): void {
    const now = performance.now();
    const ping = this.kernel === "connected" ? this.link.tick(now) : null;
    if (ping !== null) this.send({ k: "ping", t: ping });
    if (this.link.paused !== this.#paused) {
      this.#paused = this.link.paused;
      this.#events.unanswered(this.#paused);
    }
  }

  #receive(content: unknown, buffer: ArrayBuffer | ArrayBufferView | undefined): void {
    const message = parse(content);
    if (!message) {
      this.strange += 1;
      if (this.strange === 1) console.warn("Backchannel: a message that this page does not know was ignored", content);
      return;
    }
    if (message.to !== "" && message.to !== this.id) return;
    if (message.k === "welcome") {
      clearTimeout(this.#greeting);
      this.#greeted = 0;
      this.welcomed = true;
    } else if (message.k === "heard") this.link.heard(message.n);
    else if (message.k === "pong") this.link.ponged(message.t);
    else if (message.k === "output") this.#outputs?.write(message);
    this.#events.message(message, buffer);
    if (message.k === "pong") this.#tick();
  }

  #kernelIs(kernel: Kernel): void {
    this.kernel = kernel;
    if (kernel === "connected") {
      this.link.reset();
      this.#greeted = 0;
      this.greet();
    } else {
      clearTimeout(this.#greeting);
    }
    this.#events.kernel(kernel);
  }
}
