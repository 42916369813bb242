import fc from "fast-check";
import { expect, test } from "vitest";
import { applyRows, duration, fractionOf, NO_ROWS, remarks, tally, timing } from "../src/rows";
import type { Move, Row } from "../src/wire";

const row = (id: string, more: Partial<Row> = {}): Row => ({
  id,
  number: 1,
  tool: "train",
  label: "train sales",
  status: "running",
  fraction: null,
  done: null,
  total: null,
  message: "",
  eta_s: null,
  elapsed_s: null,
  text: "",
  error: "",
  logs: [],
  note: "",
  waits: false,
  again: false,
  ...more,
});

test("rows keep the order in which they were first seen", () => {
  const first = applyRows(NO_ROWS, 1, [row("b"), row("a")], []).next;
  const { next, changed } = applyRows(first, 2, [row("a", { status: "done" }), row("c")], []);
  expect([...next.byId.keys()]).toEqual(["b", "a", "c"]);
  expect(changed).toEqual(["a", "c"]);
  expect(next.byId.get("a")?.status).toBe("done");
});

test("a version that is not newer changes nothing", () => {
  const first = applyRows(NO_ROWS, 5, [row("a")], []).next;
  expect(applyRows(first, 5, [row("b")], [])).toEqual({ next: first, changed: [], gap: false });
});

test("a move changes the progress only", () => {
  const first = applyRows(NO_ROWS, 1, [row("a", { text: "kept" })], []).next;
  const move: Move = ["a", 7, 20, 0.35, 12.5, 6.7, "epochs"];
  const { next } = applyRows(first, 2, [], [move]);
  const progress = { done: 7, total: 20, fraction: 0.35, eta_s: 12.5, elapsed_s: 6.7, message: "epochs" };
  expect(next.byId.get("a")).toEqual({ ...row("a", { text: "kept" }), ...progress });
});

test("a move of an unknown row is a gap, and its version does not count as seen", () => {
  const { next, gap } = applyRows(NO_ROWS, 3, [row("a")], [["b", 1, null, null, null, null, ""]]);
  expect(gap).toBe(true);
  expect(next.version).toBe(0);
  expect([...next.byId.keys()]).toEqual(["a"]);
});

test("a change sent again since the last acknowledged version ends in the same rows", () => {
  const history = fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), fc.nat(9)), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(history, fc.array(fc.boolean()), (changes, lost) => {
      const latest = new Map<string, { version: number; row: Row }>();
      let page = NO_ROWS;
      let acknowledged = 0;
      changes.forEach(([id, done], index) => {
        latest.set(id, { version: index + 1, row: row(id, { done }) });
        if (lost[index]) return;
        const since = [...latest.values()].filter((item) => item.version > acknowledged).map((item) => item.row);
        page = applyRows(page, index + 1, since, []).next;
        acknowledged = page.version;
      });
      const rest = [...latest.values()].filter((item) => item.version > acknowledged).map((item) => item.row);
      page = applyRows(page, changes.length + 1, rest, []).next;
      for (const [id, item] of latest) expect(page.byId.get(id)).toEqual(item.row);
    }),
  );
});

test("a thousand rows are counted by phase", () => {
  const status = ["queued", "running", "done", "timed_out"];
  const many = Array.from({ length: 1000 }, (_, n) => row(`r${n}`, { status: status[n % 4] ?? "" }));
  expect(tally(applyRows(NO_ROWS, 1, many, []).next)).toEqual({ queued: 250, active: 250, done: 250, failed: 250 });
});

test("beyond a thousand rows the oldest finished ones go, those that run stay", () => {
  const many = Array.from({ length: 1003 }, (_, n) => row(`r${n}`, { status: n % 2 ? "done" : "running" }));
  const ids = [...applyRows(NO_ROWS, 1, many, []).next.byId.keys()];
  expect(ids.length).toBe(1000);
  expect(ids.slice(0, 5)).toEqual(["r0", "r2", "r4", "r6", "r7"]);
});

test("how far and how long is said in words", () => {
  expect(timing(row("a", { fraction: 0.35, eta_s: 12.4 }))).toBe("35 % · 12 s left");
  expect(timing(row("a", { done: 3, elapsed_s: 1.5 }))).toBe("3 · 1.5 s");
  expect(timing(row("a", { status: "failed", elapsed_s: 65 }))).toBe("failed · 1 min 5 s");
  expect(timing(row("a", { status: "queued" }))).toBe("waiting");
  expect(timing(row("a", { status: "cancelled", elapsed_s: 0 }))).toBe("cancelled");
  expect(timing(row("a", { status: "timed_out", elapsed_s: 600 }))).toBe("timed out · 10 min");
  expect(duration(7800)).toBe("2 h 10 min");
  expect(duration(59.7)).toBe("1 min");
  expect(duration(null)).toBe("");
});

test("what a row says below its bar names each thing once, and no reports after the end", () => {
  const moving = { note: "attempt 2 of 3", done: 7, total: 20, message: "epochs, batches 5/10" };
  expect(remarks(row("a", moving))).toBe("attempt 2 of 3 · 7 of 20 · epochs, batches 5/10");
  expect(remarks(row("a", { ...moving, message: "attempt 2 of 3", done: null }))).toBe("attempt 2 of 3");
  expect(remarks(row("a", { done: 0.1 + 0.2, total: 0.75 }))).toBe("0.3 of 0.75");
  expect(remarks(row("a", { ...moving, status: "failed", note: "3 attempts" }))).toBe("3 attempts");
  expect(remarks(row("a"))).toBe("");
});

test("a task that waits says so, and a lost one is one without a result", () => {
  expect(timing(row("a", { waits: true, elapsed_s: 12 }))).toBe("waiting · 12 s");
  expect(timing(row("a", { waits: true, fraction: 0.5 }))).toBe("50 %");
  expect(timing(row("a", { done: 0.1 + 0.2 }))).toBe("0.3");
  const lost = row("a", { status: "lost", elapsed_s: 65 });
  expect(timing(lost)).toBe("lost · 1 min 5 s");
  expect(tally(applyRows(NO_ROWS, 1, [lost], []).next).failed).toBe(1);
});

test("a fraction outside of nought and one is brought inside", () => {
  expect(fractionOf(row("a", { fraction: 1.5 }))).toBe(1);
  expect(fractionOf(row("a", { done: 3, total: 4 }))).toBe(0.75);
  expect(fractionOf(row("a", { done: 3, total: 0 }))).toBeNull();
  expect(fractionOf(row("a", { status: "done" }))).toBe(1);
});
