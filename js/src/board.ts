/** The board widget: anywidget's entry. What is known belongs to the model, so that several views share it. */

import { type BoardSource, type BoardView, boardView } from "./board_view";
import { Client } from "./client";
import { lifetime } from "./dom";
import { type InitializeContext, identity, type RenderContext, type WidgetModel } from "./host";
import { applyRows, fromRows, NO_ROWS, phase, type Rows } from "./rows";
import type { Kernel } from "./status";
import { isObject, parseRows, type ToPage, VERSION } from "./wire";

class Board implements BoardSource {
  readonly views = new Set<BoardView>();
  readonly #model: WidgetModel;
  readonly #client: Client;
  #rows: Rows = NO_ROWS;
  #hint = "";
  #kept = false;
  #seq = 0;
  #kernel: Kernel = "connected";
  #unanswered = false;
  #outdated = false;

  constructor(model: WidgetModel, signal: AbortSignal) {
    this.#model = model;
    this.#showSaved();
    model.on("change:snapshot", () => this.#showSaved());
    this.#client = new Client(model, signal, {
      message: (message) => this.#message(message),
      kernel: (kernel) => this.#set(() => (this.#kernel = kernel)),
      unanswered: (unanswered) => this.#set(() => (this.#unanswered = unanswered)),
      progress: () => ({ seq: this.#seq, version: this.#rows.version }),
    });
  }

  rows(): Rows {
    return this.#rows;
  }

  hint(): string {
    return this.#hint;
  }

  fault(): string {
    if (this.#outdated) return "This page is older than the kernel's Backchannel. Reload the page.";
    const waiting = [...this.#rows.byId.values()].some((row) => phase(row) === "active" || phase(row) === "queued");
    if (!waiting) return "";
    if (this.#kernel === "connecting") return "Waiting for the connection to the notebook's kernel.";
    if (this.#kernel !== "connected") {
      return this.#kept
        ? "The kernel was stopped or restarted. Run the cell again: the ledger knows what became of these runs."
        : "The kernel was stopped or restarted; these runs ended with it.";
    }
    return this.#unanswered ? "The kernel does not answer yet." : "";
  }

  alive(): boolean {
    return this.#kernel === "connected" || this.#kernel === "connecting";
  }

  cancel(task: string): void {
    this.#client.ask({ k: "cancel", task });
  }

  again(task: string): void {
    this.#client.ask({ k: "again", task });
  }

  #message(message: ToPage): void {
    if (message.k === "welcome") {
      this.#seq = message.seq;
      this.#show(message.snapshot, message.version);
      this.#client.acknowledge(true);
    } else if (message.k === "ops") {
      // The board has no operations of its own; it acknowledges them, or they would be sent for ever.
      this.#seq = Math.max(this.#seq, message.seq + message.ops.length - 1);
      this.#client.acknowledge();
    } else if (message.k === "rows" && this.#client.welcomed) {
      const { next, changed, gap } = applyRows(this.#rows, message.version, message.rows, message.moves);
      this.#rows = next;
      for (const view of this.views) view.changed(changed);
      if (gap) this.#client.greet();
      else this.#client.acknowledge();
    }
  }

  #showSaved(): void {
    if (!this.#client?.welcomed) this.#show(this.#model.get("snapshot"), 0);
  }

  #show(snapshot: unknown, version: number): void {
    if (!isObject(snapshot)) return;
    this.#rows = fromRows(version, parseRows(snapshot.rows));
    this.#outdated = snapshot.protocol !== undefined && snapshot.protocol !== VERSION;
    this.#kept = snapshot.kept === true;
    this.#hint = typeof snapshot.hint === "string" ? snapshot.hint : "";
    for (const view of this.views) view.changed();
  }

  #set(change: () => void): void {
    change();
    for (const view of this.views) view.changed();
  }
}

const boards = new WeakMap<object, Board>();

function initialize({ model, signal }: InitializeContext): () => void {
  const life = lifetime(signal);
  const key = identity(model);
  boards.set(key, new Board(model, life.signal));
  life.signal.addEventListener("abort", () => boards.delete(key));
  return life.end;
}

function render({ model, el, signal }: RenderContext): () => void {
  const board = boards.get(identity(model));
  if (!board) throw new Error("Backchannel: the board was shown before it was initialized.");
  const life = lifetime(signal);
  const root = document.createElement("div");
  root.className = "bc-board";
  el.append(root);
  const view = boardView(root, board, life.signal);
  board.views.add(view);
  root.dataset.backchannelLive = "board";
  root.dispatchEvent(new CustomEvent("backchannel:live", { bubbles: true }));
  return () => {
    board.views.delete(view);
    life.end();
    root.remove();
  };
}

export default { initialize, render };
