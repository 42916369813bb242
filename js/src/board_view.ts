/** The board's face: a row for each task, drawn once a frame and only where something changed that can be seen. */

import { element, everyFrame, setText } from "./dom";
import { fractionOf, type Phase, phase, type Rows, remarks, tally, timing } from "./rows";
import type { Row } from "./wire";

const MANY = 20;
const TEXT_MOST = 20_000;
const LOGS_MOST = 500;
/** How long a button shows that it was pressed where nothing comes of it; pressing it twice does no harm. */
const PRESSED_MS = 5000;

export interface BoardSource {
  rows(): Rows;
  hint(): string;
  /** A sentence where something is wrong, else "". */
  fault(): string;
  /** Whether there is a kernel that could do something. */
  alive(): boolean;
  cancel(task: string): void;
  /** Start the task once more, as a new one. */
  again(task: string): void;
}

interface RowView {
  root: HTMLElement;
  /** Scrolled into the list; what is out of it is drawn when it comes in. */
  near: boolean;
  show(row: Row): void;
}

export interface BoardView {
  /** Draw these rows again, or all of them, in the next frame. */
  changed(ids?: Iterable<string>): void;
}

export function boardView(root: HTMLElement, source: BoardSource, signal: AbortSignal): BoardView {
  const on = { signal };
  const fault = element("div", "bc-fault", { role: "status" });
  const count = element("span", "bc-count");
  const filter = element("input", "bc-filter", {
    type: "search",
    placeholder: "Filter",
    "aria-label": "Filter the runs",
  });
  const folded = element("input", "", { type: "checkbox" });
  const tools = element("div", "bc-tools", {}, count, filter, element("label", "", {}, folded, " Hide finished"));
  const list = element("div", "bc-rows", { role: "list", "aria-label": "Background runs" });
  const empty = element("div", "bc-empty");
  root.append(fault, tools, list, empty);

  const views = new Map<string, RowView>();
  let dirty = new Set<string>();
  let all = true;

  const visible = (row: Row): boolean => {
    if (folded.checked && row.status === "done") return false;
    const wanted = filter.value.trim().toLowerCase();
    return !wanted || `${row.number} ${row.label} ${row.tool} ${row.status}`.toLowerCase().includes(wanted);
  };

  const scrolled = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const id = (target as HTMLElement).dataset.task ?? "";
        const view = views.get(id);
        if (!view) continue;
        view.near = isIntersecting;
        if (isIntersecting) changed([id]);
      }
    },
    { root: list, rootMargin: "100px" },
  );
  signal.addEventListener("abort", () => scrolled.disconnect());

  const draw = (): void => {
    const rows = source.rows();
    let atEnd: boolean | null = null;
    for (const id of all ? rows.byId.keys() : dirty) {
      const row = rows.byId.get(id);
      if (!row) continue;
      const known = views.get(id);
      const view = known ?? rowView(source, on);
      const turned = !known || all || row.status !== view.root.dataset.status;
      if (turned || view.near) view.show(row);
      if (turned) view.root.hidden = !visible(row);
      if (known) continue;
      views.set(id, view);
      atEnd ??= list.scrollTop + list.clientHeight >= list.scrollHeight - 4;
      list.append(view.root);
      scrolled.observe(view.root);
    }
    drop(rows);
    dirty = new Set();
    all = false;
    const { queued, active, done, failed } = tally(rows);
    // Who looks at the end of the list goes on looking at it; what waits is no news.
    if (atEnd && queued === 0) list.scrollTop = list.scrollHeight;
    const parts = [`${active} running`, `${done} done`];
    if (queued) parts.splice(1, 0, `${queued} waiting`);
    if (failed) parts.push(`${failed} ended without a result`);
    setText(count, parts.join(" · "));
    tools.hidden = rows.byId.size <= MANY;
    empty.hidden = rows.byId.size > 0;
    setText(empty, `No runs yet. ${source.hint()}`.trim());
    setText(fault, source.fault());
    fault.hidden = source.fault() === "";
  };
  const drop = (rows: Rows): void => {
    if (!all && views.size <= rows.byId.size) return;
    for (const [id, view] of views) {
      if (rows.byId.has(id)) continue;
      scrolled.unobserve(view.root);
      view.root.remove();
      views.delete(id);
    }
  };
  const soon = everyFrame(signal, draw);
  const changed = (ids?: Iterable<string>): void => {
    if (ids) for (const id of ids) dirty.add(id);
    else all = true;
    soon();
  };
  filter.addEventListener("input", () => changed(), on);
  folded.addEventListener("change", () => changed(), on);
  root.dataset.lmSuppressShortcuts = "true";
  draw();
  return { changed };
}

function rowView(source: BoardSource, on: { signal: AbortSignal }): RowView {
  const number = element("span", "bc-number");
  const label = element("span", "bc-label");
  const fill = element("div", "bc-fill");
  const bar = element("div", "bc-bar", { role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
  const time = element("span", "bc-time");
  const message = element("div", "bc-message");
  const more = element("div", "bc-more");
  let known: Row | null = null;
  const button = (words: string, pressed: string, act: (task: string) => void) => {
    const made = element("button", "bc-small", { type: "button" }, words);
    let waiting = 0;
    const release = () => {
      clearTimeout(waiting);
      made.removeAttribute("aria-disabled");
      setText(made, words);
    };
    made.addEventListener(
      "click",
      () => {
        if (!known || made.hasAttribute("aria-disabled")) return;
        // Not disabled: that would take the keyboard away from it.
        made.setAttribute("aria-disabled", "true");
        setText(made, pressed);
        waiting = window.setTimeout(release, PRESSED_MS);
        act(known.id);
      },
      on,
    );
    on.signal.addEventListener("abort", () => clearTimeout(waiting));
    return { made, release };
  };
  const { made: stop, release: releaseStop } = button("Cancel", "Cancelling", (task) => source.cancel(task));
  const { made: again, release: releaseAgain } = button("Run again", "Starting", (task) => source.again(task));
  const role = { role: "listitem", tabindex: -1 };
  const root = element("div", "bc-row", role, number, label, bar, time, stop, again, message, more);

  const show = (row: Row): void => {
    const now = phase(row);
    const before = known;
    known = row;
    root.dataset.task = row.id;
    root.dataset.status = row.status;
    root.dataset.phase = now;
    setText(number, row.number ? String(row.number) : "");
    const name = row.label || row.tool || row.id;
    setText(label, name);
    if (label.title !== name) label.title = name;
    drawBar(bar, fill, row, now);
    setText(time, timing(row));
    setText(message, remarks(row));
    if (message.title !== message.textContent) message.title = message.textContent ?? "";
    message.hidden = message.textContent === "";
    const over = now === "done" || now === "failed";
    const focused = document.activeElement === stop || document.activeElement === again;
    const alive = source.alive();
    stop.hidden = over || !alive;
    again.hidden = !over || !row.again || !alive;
    if (before && (before.status !== row.status || before.note !== row.note || before.again !== row.again)) {
      releaseStop();
      releaseAgain();
    }
    // A button that goes must not take the keyboard with it.
    if (focused && !again.hidden) again.focus();
    else if (focused && stop.hidden) root.focus({ preventScroll: true });
    stop.setAttribute("aria-label", `Cancel ${name}`);
    again.setAttribute("aria-label", `Run ${name} again`);
    if (!before || before.text !== row.text || before.error !== row.error || before.logs.length !== row.logs.length) {
      drawMore(more, row);
    }
  };
  return { root, near: true, show };
}

function drawBar(bar: HTMLElement, fill: HTMLElement, row: Row, now: Phase): void {
  const fraction = fractionOf(row);
  const name = row.label || row.tool;
  if (bar.getAttribute("aria-label") !== name) bar.setAttribute("aria-label", name);
  const moving = fraction === null && now === "active" && !row.waits;
  bar.classList.toggle("bc-unknown", moving);
  if (fraction === null) bar.removeAttribute("aria-valuenow");
  else bar.setAttribute("aria-valuenow", String(Math.floor(fraction * 100)));
  bar.setAttribute("aria-valuetext", timing(row));
  fill.style.transform = moving ? "" : `scaleX(${(fraction ?? 0).toFixed(4)})`;
}

function drawMore(more: HTMLElement, row: Row): void {
  const open = new Set([...more.querySelectorAll("details[open]")].map((part) => part.className));
  const parts: HTMLElement[] = [];
  if (row.error) {
    const [first = "", ...rest] = row.error.trimEnd().split("\n");
    const last = rest.at(-1)?.trim();
    const traceback = first.startsWith("Traceback") && last;
    parts.push(element("div", "bc-error", {}, traceback ? last : first));
    if (rest.length > 0) parts.push(fold("bc-traceback", "Traceback", row.error));
  }
  if (row.text) {
    const lines = row.text.split("\n").length;
    if (row.text.length <= 300 && lines <= 3) parts.push(element("div", "bc-result", {}, row.text));
    else parts.push(fold("bc-result", `Result: ${row.text.trimStart().split("\n")[0]?.slice(0, 120)} …`, row.text));
  }
  if (row.logs.length > 0) {
    parts.push(fold("bc-logs", `Log (${row.logs.length})`, row.logs.slice(-LOGS_MOST).join("\n")));
  }
  for (const part of parts) if (part instanceof HTMLDetailsElement) part.open = open.has(part.className);
  more.replaceChildren(...parts);
  more.hidden = parts.length === 0;
}

function fold(className: string, summary: string, text: string): HTMLDetailsElement {
  const shown = text.length > TEXT_MOST ? `${text.slice(0, TEXT_MOST)}\n… (${text.length} characters in all)` : text;
  return element("details", className, {}, element("summary", "", {}, summary), element("pre", "", {}, shown));
}
