import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type FromPage, parse, samplesOf } from "../src/wire";

const golden = JSON.parse(readFileSync(new URL("../../tests/golden/wire.json", import.meta.url), "utf8")) as {
  from_page: unknown[];
  to_page: Record<string, unknown>[];
};

test("every golden message of the kernel is understood in every field", () => {
  for (const message of golden.to_page) expect(parse(message)).toEqual(message);
});

test("the page's golden messages have exactly the fields of their types", () => {
  const fields: Record<FromPage["k"], string[]> = {
    hello: ["k", "client", "version", "lab", "keeps"],
    claim: ["k", "client", "force", "microphone"],
    release: ["k", "client"],
    mic: ["k", "client", "n", "rate"],
    played: ["k", "client", "gen", "received", "played", "underruns"],
    say: ["k", "client", "text"],
    cancel: ["k", "client", "task"],
    again: ["k", "client", "task"],
    answer: ["k", "client", "question", "approved"],
    ack: ["k", "client", "seq", "version"],
    ping: ["k", "client", "t"],
  };
  const seen = new Set<string>();
  for (const message of golden.from_page as FromPage[]) {
    expect(Object.keys(message)).toEqual(fields[message.k]);
    seen.add(message.k);
  }
  expect([...seen].sort()).toEqual(Object.keys(fields).sort());
});

test("anything else is refused without an exception", () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      expect(parse(value)).toBeNull();
    }),
  );
});

test("a golden message with one field replaced by anything never throws", () => {
  const cases = golden.to_page.flatMap((message) => Object.keys(message).map((key) => [message, key] as const));
  fc.assert(
    fc.property(fc.constantFrom(...cases), fc.anything(), ([message, key], value) => {
      const parsed = parse({ ...message, [key]: value });
      expect(parsed === null || typeof parsed.k === "string").toBe(true);
    }),
  );
});

test("an operation that is unknown keeps its place, so that the numbers stay right", () => {
  const parsed = parse({ k: "ops", to: "", seq: 4, ops: [{ op: "later" }, { op: "flush", gen: 2 }] });
  expect(parsed).toEqual({ k: "ops", to: "", seq: 4, ops: [null, { op: "flush", gen: 2 }] });
});

test("samples are read at an odd offset and refused when half a sample is left", () => {
  const bytes = new Uint8Array([9, 1, 0, 255, 255]);
  expect(samplesOf(new DataView(bytes.buffer, 1, 4))).toEqual(new Int16Array([1, -1]));
  expect(samplesOf(bytes)).toBeNull();
  expect(samplesOf(undefined)).toBeNull();
});
