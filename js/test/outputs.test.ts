import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { LabFlag, WidgetModel } from "../src/host";
import { NotebookOutputs, notebookOf, type Output, WIDGET_MIMETYPE } from "../src/outputs";
import { VIEW_MIMETYPE } from "../src/wire";

/** A code cell as JupyterLab has it: what is shown, and the document that is saved. */
class Cell {
  document: Output[] = [];
  shown: Output[] = [];
  drawn = 0;
  readonly sharedModel = {
    updateOutputs: (start: number, end: number, outputs: Output[], origin?: string) => {
      this.document.splice(start, end - start, ...structuredClone(outputs));
      if (origin !== "silent-change") this.shown.splice(start, end - start, ...structuredClone(outputs));
    },
  };

  constructor(...outputs: Output[]) {
    this.document = structuredClone(outputs);
    this.shown = structuredClone(outputs);
  }

  get outputs() {
    const { shown } = this;
    const set = (index: number, output: Output): void => {
      this.drawn += 1;
      shown[index] = this.document[index] = structuredClone(output);
    };
    return {
      length: shown.length,
      get: (index: number) => ({
        metadata: shown[index]?.metadata,
        toJSON: () => structuredClone(shown[index] as Output),
      }),
      set,
      add: (output: Output) => set(shown.length, output),
    };
  }
}

class Notebook {
  dirty = false;
  readonly slots = new Set<() => void>();
  readonly cells;

  constructor(readonly all: Cell[]) {
    const connect = (slot: () => void) => this.slots.add(slot);
    const disconnect = (slot: () => void) => this.slots.delete(slot);
    this.cells = { length: all.length, get: (at: number) => all[at] as Cell, changed: { connect, disconnect } };
  }
}

const view = { model_id: "m1" };
const marked = (id: string, data: Record<string, unknown>): Output => ({
  output_type: "display_data",
  data,
  metadata: { backchannel: { output: id } },
});
const message = (id: string, data: Record<string, unknown>, beside = "") =>
  ({ k: "output", to: "", id, data, metadata: {}, beside }) as const;
const board = (html: string) => message("b", { "text/html": html, [VIEW_MIMETYPE]: view });

let life: AbortController;

beforeEach(() => {
  life = new AbortController();
  vi.stubGlobal("window", { __backchannel_lab: { version: 1 } as LabFlag });
});

afterEach(() => vi.unstubAllGlobals());

function stock(): void {
  vi.stubGlobal("window", {});
}

function written(...cells: Cell[]): { notebook: Notebook; outputs: NotebookOutputs } {
  const notebook = new Notebook(cells);
  return { notebook, outputs: new NotebookOutputs(notebook, life.signal) };
}

test("every output with the mark is renewed, in whatever cell, and no other", () => {
  const stream: Output = { output_type: "stream" };
  const one = new Cell(stream, marked("b", { "text/html": "old" }), marked("other", { "text/html": "other" }));
  const copy = new Cell(marked("b", { "text/html": "old" }));
  const { notebook, outputs } = written(one, copy);
  outputs.write(board("new"));
  expect(one.document.map((output) => output.data?.["text/html"])).toEqual([undefined, "new", "other"]);
  expect(copy.document[0]).toEqual(marked("b", board("new").data));
  expect(notebook.dirty).toBe(true);
});

test("what is there already changes nothing", () => {
  const cell = new Cell(marked("b", { [VIEW_MIMETYPE]: view, "text/html": "same" }));
  const { notebook, outputs } = written(cell);
  outputs.write(board("same"));
  expect([cell.drawn, notebook.dirty]).toEqual([0, false]);
});

test("an output that is not there is added beside its board, once; without a board nowhere", () => {
  const other = new Cell();
  const cell = new Cell(marked("b", { "text/html": "rows" }));
  const { notebook, outputs } = written(other, cell);
  const result = message("r", { "text/html": "<table>" }, "b");
  outputs.write(result);
  outputs.write(result);
  expect(cell.document.slice(1)).toEqual([marked("r", result.data)]);
  notebook.dirty = false;
  outputs.write(message("s", { "text/html": "" }, "gone"));
  outputs.write(message("t", { "text/html": "" }));
  expect([other.document.length, cell.document.length, notebook.dirty]).toEqual([0, 2, false]);
});

test("without our extension the file has the saved form, and the widget is drawn once", () => {
  stock();
  const cell = new Cell(marked("b", { [VIEW_MIMETYPE]: view, [WIDGET_MIMETYPE]: view, "text/html": "first" }));
  const { notebook, outputs } = written(cell);
  for (const html of ["second", "third"]) outputs.write(board(html));
  expect(cell.drawn).toBe(0);
  expect(cell.document[0]).toEqual(marked("b", board("third").data));
  expect(cell.shown[0]?.data).toHaveProperty([WIDGET_MIMETYPE]);
  expect(notebook.dirty).toBe(true);
});

test("without our extension a page that was reloaded shows the widget again", () => {
  stock();
  const cell = new Cell(marked("b", board("from the file").data));
  const { outputs } = written(cell);
  for (const html of ["new", "newer"]) outputs.write(board(html));
  expect(cell.drawn).toBe(1);
  expect(cell.shown[0]?.data?.[WIDGET_MIMETYPE]).toEqual({ version_major: 2, version_minor: 0, model_id: "m1" });
  expect(cell.document[0]).toEqual(marked("b", board("newer").data));
});

test("without our extension a cell that was moved shows the widget again", async () => {
  stock();
  const { notebook, outputs } = written(new Cell(marked("b", board("rows").data)));
  outputs.write(board("rows"));
  const moved = new Cell(marked("b", board("rows").data));
  notebook.all[0] = moved;
  for (const slot of notebook.slots) slot();
  await Promise.resolve();
  expect(moved.shown[0]?.data).toHaveProperty([WIDGET_MIMETYPE]);
  life.abort();
  expect(notebook.slots.size).toBe(0);
});

test("at the widget's end its output shows the saved form", async () => {
  stock();
  const cell = new Cell(marked("b", { [VIEW_MIMETYPE]: view, [WIDGET_MIMETYPE]: view, "text/html": "first" }));
  const { notebook, outputs } = written(cell);
  outputs.write(board("second"));
  outputs.write(message("b", { "text/html": "last" }));
  expect(cell.shown[0]).toEqual(marked("b", { "text/html": "last" }));
  expect(cell.document).toEqual(cell.shown);
  for (const slot of notebook.slots) slot();
  await Promise.resolve();
  expect(cell.shown[0]).toEqual(marked("b", { "text/html": "last" }));
});

test("a page without a notebook has no outputs to write", () => {
  const model = (widget_manager: unknown) => ({ widget_manager }) as WidgetModel;
  expect(notebookOf(model(undefined))).toBeNull();
  expect(notebookOf(model({ context: null }))).toBeNull();
  expect(notebookOf(model({ context: { model: { cells: [] } } }))).toBeNull();
  const notebook = new Notebook([]);
  expect(notebookOf(model({ context: { model: notebook } }))).toBe(notebook);
});
