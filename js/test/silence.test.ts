import { expect, test } from "vitest";
import { duration, Silence } from "../src/silence";

test("silence is over after its time, not before", () => {
  const silence = new Silence();
  expect(silence.over(5000, 600)).toBe(false);
  expect(silence.over(604_999, 600)).toBe(false);
  expect(silence.over(605_000, 600)).toBe(true);
});

test("a word begins it again", () => {
  const silence = new Silence();
  silence.over(0, 10);
  silence.end();
  expect(silence.over(9_999, 10)).toBe(false);
  expect(silence.over(10_001, 10)).toBe(false);
  expect(silence.over(19_999, 10)).toBe(true);
});

test("without a limit it lasts for ever", () => {
  const silence = new Silence();
  silence.over(0, 0);
  expect(silence.over(1e12, 0)).toBe(false);
});

test("its length is said in words", () => {
  expect(duration(600)).toBe("ten minutes");
  expect(duration(60)).toBe("one minute");
  expect(duration(1)).toBe("one second");
  expect(duration(90)).toBe("90 seconds");
  expect(duration(1800)).toBe("30 minutes");
  expect(duration(2.5)).toBe("2.5 seconds");
});
