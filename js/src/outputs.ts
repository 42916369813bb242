/**
 * The outputs of the notebook that belong to a widget, written by the page itself. JupyterLab applies an update only
 * to outputs that it received in this session: after a reload it finds none, and the file would stay as it was.
 */

import type { WidgetModel } from "./host";
import { isObject, type ToPage, VIEW_MIMETYPE } from "./wire";

export const WIDGET_MIMETYPE = "application/vnd.jupyter.widget-view+json";
const SILENT = "silent-change";

type Json = Record<string, unknown>;
type Message = Extract<ToPage, { k: "output" }>;

export interface Output {
  output_type: string;
  data?: Json;
  metadata?: Json;
}

interface Outputs {
  length: number;
  get(index: number): { metadata: unknown; toJSON(): Output };
  set(index: number, output: Output): void;
  add(output: Output): unknown;
}

/** What is used of JupyterLab's `ICodeCellModel`; cells of other kinds have no outputs. */
interface Cell {
  outputs?: Outputs;
  sharedModel: {
    /** With the origin "silent-change" only the document changes, not what is shown. */
    updateOutputs?(start: number, end: number, outputs: Output[], origin?: string): void;
  };
}

interface Changes {
  connect(slot: () => void): unknown;
  disconnect(slot: () => void): unknown;
}

/** What is used of JupyterLab's `INotebookModel`. */
export interface NotebookModel {
  cells: { length: number; get(index: number): Cell; changed?: Changes };
  dirty: boolean;
}

interface Manager {
  context?: { model?: unknown } | null;
}

/** The notebook that shows a widget, if the page has one whose outputs can be written. */
export function notebookOf(model: WidgetModel): NotebookModel | null {
  const notebook = (model.widget_manager as Manager | undefined)?.context?.model as Partial<NotebookModel> | undefined;
  return typeof notebook?.cells?.get === "function" ? (notebook as NotebookModel) : null;
}

/** The outputs of one notebook that the kernel marks as a widget's. */
export class NotebookOutputs {
  readonly #notebook: NotebookModel;
  #own: Message | null = null;

  constructor(notebook: NotebookModel, signal: AbortSignal) {
    this.#notebook = notebook;
    // A cell that was moved, pasted or brought back is made from the document, which has no widget.
    const again = (): void => queueMicrotask(() => this.#own && !signal.aborted && this.write(this.#own));
    // Kept: a notebook that was closed has no cells.
    const { changed } = notebook.cells;
    changed?.connect(again);
    signal.addEventListener("abort", () => changed?.disconnect(again));
  }

  /** Make the outputs with this id hold this data; where there is none, add one beside another output. */
  write(message: Message): void {
    if (VIEW_MIMETYPE in message.data) this.#own = message;
    else if (message.id === this.#own?.id) this.#own = null;
    const output: Output = {
      output_type: "display_data",
      data: message.data,
      metadata: { ...message.metadata, backchannel: { output: message.id } },
    };
    const found = this.#find(message.id);
    let changed = false;
    for (const [cell, outputs, index] of found) changed = put(cell, outputs, index, output) || changed;
    const [, beside] = this.#find(message.beside)[0] ?? [];
    if (beside && found.length === 0) {
      beside.add(output);
      changed = true;
    }
    if (changed) this.#notebook.dirty = true;
  }

  #find(id: string): [Cell, Outputs, number][] {
    const found: [Cell, Outputs, number][] = [];
    const { cells } = this.#notebook;
    for (let at = 0; at < cells.length; at++) {
      const cell = cells.get(at);
      const { outputs } = cell;
      for (let index = 0; outputs && index < outputs.length; index++) {
        if (markOf(outputs.get(index).metadata) === id) found.push([cell, outputs, index]);
      }
    }
    return found;
  }
}

function markOf(metadata: unknown): unknown {
  const mark = isObject(metadata) ? metadata.backchannel : null;
  return isObject(mark) ? mark.output : undefined;
}

/** Returns whether anything changed. */
function put(cell: Cell, outputs: Outputs, index: number, output: Output): boolean {
  const shown = outputs.get(index).toJSON();
  const view = output.data?.[VIEW_MIMETYPE];
  if (window.__backchannel_lab || !isObject(view)) {
    if (isSame(shown.data ?? {}, output.data ?? {})) return false;
    outputs.set(index, output);
    return true;
  }
  // Without our extension the widget is what is shown, and would be drawn again: only the document is changed.
  if (!shown.data || !(WIDGET_MIMETYPE in shown.data)) {
    const widget = { version_major: 2, version_minor: 0, model_id: view.model_id };
    outputs.set(index, { ...output, data: { ...output.data, [WIDGET_MIMETYPE]: widget } });
  }
  cell.sharedModel.updateOutputs?.(index, index + 1, [output], SILENT);
  return true;
}

function isSame(one: Json, other: Json): boolean {
  const types = Object.keys(one);
  return (
    types.length === Object.keys(other).length &&
    types.every((type) => JSON.stringify(one[type]) === JSON.stringify(other[type]))
  );
}
