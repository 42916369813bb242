import fc from "fast-check";
import { expect, test } from "vitest";
import { Link } from "../src/link";

test("a kernel that hears every chunk within a second is never asked", () => {
  const link = new Link();
  for (let n = 0; n < 500; n++) {
    link.sent(n, n * 20);
    if (n >= 40) link.heard(n - 40);
    expect(link.tick(n * 20)).toBeNull();
    expect(link.paused).toBe(false);
  }
});

test("after a second without an answer it pauses, asks, and goes on at the answer", () => {
  const link = new Link();
  link.sent(0, 0);
  expect(link.tick(1000)).toBeNull();
  expect(link.tick(1001)).toBe(1001);
  expect(link.paused).toBe(true);
  expect(link.tick(1600)).toBeNull();
  link.ponged(1001);
  expect(link.paused).toBe(false);
  expect(link.tick(1700)).toBeNull();
});

test("hearing the chunks does not end a pause before the ping that followed them is answered", () => {
  const link = new Link();
  link.sent(0, 0);
  link.tick(1001);
  link.heard(0);
  expect(link.paused).toBe(true);
});

test("a ping that is never answered is asked again after two seconds", () => {
  const link = new Link();
  link.want();
  expect(link.tick(0)).toBe(0);
  expect(link.tick(1200)).toBeNull();
  expect(link.paused).toBe(true);
  expect(link.tick(2001)).toBe(2001);
  link.ponged(2001);
  expect(link.paused).toBe(false);
});

test("a new connection forgets what was sent on the old one", () => {
  const link = new Link();
  link.sent(0, 0);
  link.tick(1001);
  link.reset();
  expect(link.paused).toBe(false);
  expect(link.tick(9000)).toBeNull();
});

test("pings are never closer than half a second, whatever happens", () => {
  const step = fc.tuple(fc.constantFrom("sent", "want", "pong", "wait"), fc.integer({ min: 0, max: 300 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const link = new Link();
      let now = 0;
      let n = 0;
      let last = Number.NEGATIVE_INFINITY;
      for (const [what, wait] of steps) {
        now += wait;
        if (what === "sent") link.sent(n++, now);
        if (what === "want") link.want();
        if (what === "pong" && Number.isFinite(last)) link.ponged(last);
        const ping = link.tick(now);
        if (ping !== null) {
          expect(ping - last).toBeGreaterThanOrEqual(500);
          last = ping;
        }
      }
    }),
  );
});
