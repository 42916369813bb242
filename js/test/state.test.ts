import fc from "fast-check";
import { expect, test } from "vitest";
import { applyOps, EMPTY, fromSnapshot, isNews } from "../src/state";
import type { Caption, Op } from "../src/wire";

const caption = (id: string, text = id, more: Partial<Caption> = {}): Op => ({
  op: "caption",
  id,
  role: "user",
  text,
  final: true,
  heard: true,
  ...more,
});
const start = fromSnapshot({}, 0);

test("operations before the kernel's welcome are not applied", () => {
  const { next, gap } = applyOps(EMPTY, 1, [{ op: "owner", client: "a" }]);
  expect(gap).toBe(true);
  expect(next).toBe(EMPTY);
});

test("an operation that came before is not applied again, the new ones behind it are", () => {
  const first = applyOps(start, 1, [{ op: "flush", gen: 1 }, caption("u1")]).next;
  const { next, fresh } = applyOps(first, 1, [{ op: "flush", gen: 1 }, caption("u1"), caption("a1")]);
  expect(fresh).toEqual([caption("a1")]);
  expect(next.captions.map((known) => known.id)).toEqual(["u1", "a1"]);
  expect(next.seq).toBe(3);
});

test("a welcome that is sent again does not take back what came after it", () => {
  expect(isNews(EMPTY, 0)).toBe(true);
  const later = applyOps(start, 1, [{ op: "owner", client: "b" }]).next;
  expect([0, 1, 2].map((seq) => isNews(later, seq))).toEqual([false, false, true]);
});

test("nothing is applied over a gap", () => {
  const { next, gap, fresh } = applyOps(start, 2, [{ op: "owner", client: "b" }]);
  expect([next, gap, fresh]).toEqual([start, true, []]);
});

test("with any loss, repetition and order of messages the page ends where the kernel is", () => {
  const op = fc.oneof(
    fc.record({ op: fc.constant("flush" as const), gen: fc.nat(20) }),
    fc.record({ op: fc.constant("owner" as const), client: fc.constantFrom("", "a", "b") }),
    fc
      .constantFrom("q1", "q2")
      .map((id) => ({ op: "question" as const, id, text: "?", tool: "t", arguments: [], whole: true })),
    fc.record({ op: fc.constant("answered" as const), id: fc.constantFrom("q1", "q2") }),
    fc.tuple(fc.constantFrom("u1", "u2", "a1"), fc.string()).map(([id, text]) => caption(id, text)),
    fc.constant(null),
  );
  const windows = fc.array(fc.tuple(fc.nat(30), fc.nat(30)), { maxLength: 40 });
  fc.assert(
    fc.property(fc.array(op, { maxLength: 30 }), windows, (ops, sent) => {
      const truth = applyOps(start, 1, ops).next;
      let page = start;
      const seen: Op[] = [];
      for (const [from, length] of [...sent, [0, ops.length] as const]) {
        const slice = ops.slice(from, from + length);
        if (slice.length === 0) continue;
        const { next, fresh } = applyOps(page, from + 1, slice);
        page = next;
        seen.push(...fresh);
      }
      expect(page).toEqual(truth);
      expect(seen).toEqual(ops.filter((item) => item !== null));
    }),
  );
});

test("a caption is replaced in its place and old ones are let go", () => {
  const many = Array.from({ length: 205 }, (_, n) => caption(`c${n}`));
  const { next } = applyOps(start, 1, [...many, caption("c100", "changed", { heard: false })]);
  expect(next.captions).toHaveLength(200);
  expect(next.captions[0]?.id).toBe("c5");
  expect(next.captions[95]).toMatchObject({ id: "c100", text: "changed", heard: false });
});

test("a generation never goes back", () => {
  const { next } = applyOps(start, 1, [
    { op: "flush", gen: 4 },
    { op: "flush", gen: 2 },
  ]);
  expect(next.gen).toBe(4);
});

test("information is merged, notices are replaced", () => {
  const { next } = applyOps(fromSnapshot({ info: { model: "a", place: "here" }, notices: ["x"] }, 7), 8, [
    { op: "info", model: "b" },
    { op: "notices", notices: ["y"] },
  ]);
  expect(next.info).toEqual({ model: "b", place: "here" });
  expect(next.notices).toEqual(["y"]);
});

test("questions are listed as they were asked, each once, and go when they are answered", () => {
  const ask = (id: string, text = id): Op => ({
    op: "question",
    id,
    text,
    tool: "delete",
    arguments: [],
    whole: true,
  });
  const saved = { questions: [{ id: "q0", text: "Delete q0?", tool: "delete" }, { id: 3 }, null] };
  const { next } = applyOps(fromSnapshot(saved, 0), 1, [
    ask("q1"),
    ask("q2"),
    { op: "answered", id: "q1" },
    ask("q2", "again"),
    { op: "answered", id: "never asked" },
  ]);
  expect(next.questions.map(({ id, text }) => [id, text])).toEqual([
    ["q0", "Delete q0?"],
    ["q2", "again"],
  ]);
});

test("a snapshot that makes no sense gives an empty conversation", () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      const made = fromSnapshot(
        { state: value, captions: [value], info: value, notices: value, questions: value, gen: value },
        3,
      );
      expect(made.seq).toBe(3);
      expect(Array.isArray(made.captions) && Array.isArray(made.questions)).toBe(true);
    }),
  );
});
