import fc from "fast-check";
import { expect, test } from "vitest";
import { type Chunk, Framer } from "../src/audio/framer";
import { HeardMeter } from "../src/audio/heard";
import { Playback } from "../src/audio/playback";
import { Resampler } from "../src/audio/resample";

const RATES = [8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000];
const sine = (hz: number, rate: number, count: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rate));

function resample(input: Float32Array, from: number, to: number, step: (left: number) => number): Float32Array {
  const resampler = new Resampler(from, to);
  const output = new Float32Array(Math.ceil((input.length * to) / from) + 10);
  let made = 0;
  for (let at = 0; at < input.length; ) {
    const count = Math.min(step(input.length - at), input.length - at);
    resampler.push(input, at, count);
    made += resampler.pull(output, made, output.length - made);
    at += count;
  }
  return output.subarray(0, made);
}

function rms(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}

test("a tone below half of both rates keeps its shape, height and time at every pair of rates", () => {
  for (const from of RATES) {
    for (const to of RATES) {
      const out = resample(sine(440, from, from / 5), from, to, () => 128);
      const want = sine(440, to, out.length);
      const error = out.map((value, i) => value - (want[i] as number)).subarray(200, out.length - 50);
      expect(rms(error), `${from} to ${to} Hz`).toBeLessThan(1e-3);
    }
  }
});

test("a tone that the lower rate cannot hold is taken out, not folded back", () => {
  const out = resample(sine(11000, 48000, 9600), 48000, 16000, () => 128);
  expect(rms(out.subarray(100))).toBeLessThan(1e-3);
});

test("how the input is cut into blocks makes no difference", () => {
  const noise = Float32Array.from({ length: 3000 }, (_, i) => Math.sin(i * i));
  const whole = resample(noise, 44100, 16000, (left) => left);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }), (cuts) => {
      let next = 0;
      expect(resample(noise, 44100, 16000, () => cuts[next++ % cuts.length] as number)).toEqual(whole);
    }),
    { numRuns: 30 },
  );
});

test("exactly the input that is asked for gives exactly the output", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...RATES),
      fc.constantFrom(...RATES),
      fc.integer({ min: 1, max: 300 }),
      (a, b, count) => {
        const resampler = new Resampler(a, b);
        const out = new Float32Array(count);
        for (let round = 0; round < 5; round++) {
          resampler.pushSilence(resampler.needs(count));
          expect(resampler.needs(count)).toBe(0);
          expect(resampler.pull(out, 0, count)).toBe(count);
        }
      },
    ),
    { numRuns: 60 },
  );
});

function capture(framer: Framer, channels: Float32Array[]): Chunk[] {
  const chunks: Chunk[] = [];
  const length = channels[0]?.length ?? 0;
  for (let at = 0; at < length; at += 128) {
    framer.feed(
      channels.map((channel) => channel.subarray(at, at + 128)),
      (chunk) => chunks.push(chunk),
    );
  }
  return chunks;
}

test("the microphone comes out in chunks of twenty milliseconds at the model's rate", () => {
  const chunks = capture(new Framer(44100, 16000, 20), [sine(440, 44100, 44100)]);
  expect(chunks.length).toBe(49);
  expect(chunks.every((chunk) => chunk.pcm.length === 320)).toBe(true);
  expect(chunks[20]?.level).toBeCloseTo(Math.SQRT1_2, 1);
  const peak = Math.max(...chunks.flatMap((chunk) => [...chunk.pcm]));
  expect(peak).toBeGreaterThan(32000);
});

test("stereo is mixed, too loud is clipped, muted is silent but goes on", () => {
  const tone = sine(440, 48000, 4800);
  const opposite = tone.map((value) => -value);
  const mixed = capture(new Framer(48000, 16000, 40), [tone, opposite]);
  expect(mixed.every((chunk) => chunk.level === 0)).toBe(true);
  const loud = capture(new Framer(48000, 16000, 20), [tone.map((value) => 9 * value)]);
  expect(Math.max(...loud.flatMap((chunk) => [...chunk.pcm]))).toBe(32767);
  const framer = new Framer(48000, 16000, 20);
  framer.muted = true;
  const muted = capture(framer, [tone]);
  expect(muted.length).toBe(4);
  expect(muted.every((chunk) => chunk.level === 0)).toBe(true);
});

const RATE = 16000;
const DEVICE = 48000;
const QUANTUM = 128;

function play(playback: Playback, ms: number): Float32Array {
  const blocks = Math.ceil((ms * DEVICE) / 1000 / QUANTUM);
  const out = new Float32Array(blocks * QUANTUM);
  for (let at = 0; at < out.length; at += QUANTUM) playback.read(out.subarray(at, at + QUANTUM));
  return out;
}

const tone = (from: number, count: number) =>
  Int16Array.from({ length: count }, (_, i) => 16000 * Math.sin((2 * Math.PI * 440 * (from + i)) / RATE));

test("nothing is played before sixty milliseconds are there", () => {
  const playback = new Playback(DEVICE);
  playback.push(0, 0, RATE, tone(0, 640));
  expect(rms(play(playback, 20))).toBe(0);
  playback.push(0, 640, RATE, tone(640, 640));
  expect(rms(play(playback, 20))).toBeGreaterThan(0.1);
});

test("a word shorter than that is played all the same, to its end", () => {
  const playback = new Playback(DEVICE);
  playback.push(0, 0, RATE, tone(0, 320));
  expect(rms(play(playback, 200))).toBeGreaterThan(0.01);
  expect(playback.report()).toMatchObject({ received: 320, played: 320, playing: false, underruns: 0 });
});

test("what is played is what was sent, at the device's rate", () => {
  const playback = new Playback(DEVICE);
  for (let at = 0; at < RATE; at += 640) playback.push(0, at, RATE, tone(at, 640));
  const out = play(playback, 900);
  const want = sine(440, DEVICE, out.length).map((value) => (value * 16000) / 32768);
  const error = out.map((value, i) => value - (want[i] as number)).subarray(500);
  expect(rms(error)).toBeLessThan(1e-3);
  expect(playback.report().played).toBeCloseTo((out.length * RATE) / DEVICE, -1);
});

test("a gap inside a generation is an underrun, a pause between two responses is not", () => {
  const playback = new Playback(DEVICE);
  playback.push(0, 0, RATE, tone(0, 1600));
  play(playback, 150);
  playback.push(0, 1600, RATE, tone(1600, 1600));
  play(playback, 600);
  expect(playback.report().underruns).toBe(1);
  playback.push(0, 3200, RATE, tone(3200, 1600));
  play(playback, 300);
  expect(playback.report()).toMatchObject({ underruns: 1, received: 4800, played: 4800 });
});

test("a flush fades out in three milliseconds and says exactly what was not heard", () => {
  const playback = new Playback(DEVICE);
  playback.push(0, 0, RATE, tone(0, RATE));
  play(playback, 100);
  const { played } = playback.report();
  expect(playback.flush(1)).toBe(RATE - played);
  const out = play(playback, 100);
  expect(rms(out.subarray(0, 72))).toBeGreaterThan(0.05);
  expect(rms(out.subarray(144))).toBe(0);
  expect(playback.report()).toMatchObject({ gen: 1, received: 0, played: 0, playing: false });
});

test("audio older than the last flush is dropped, even when it comes after it", () => {
  const playback = new Playback(DEVICE);
  playback.flush(3);
  playback.push(2, 0, RATE, tone(0, 3200));
  expect(rms(play(playback, 200))).toBe(0);
  playback.push(3, 0, RATE, tone(0, 3200));
  expect(rms(play(playback, 100))).toBeGreaterThan(0.1);
});

test("a chunk that was lost is silence of its length, one sent twice is heard once", () => {
  const playback = new Playback(DEVICE);
  playback.push(0, 0, RATE, tone(0, 1600));
  playback.push(0, 3200, RATE, tone(3200, 1600));
  playback.push(0, 3200, RATE, tone(3200, 1600));
  expect(playback.report().received).toBe(4800);
  const out = play(playback, 290);
  const ms = DEVICE / 1000;
  expect(rms(out.subarray(20 * ms, 95 * ms))).toBeGreaterThan(0.2);
  expect(rms(out.subarray(110 * ms, 190 * ms))).toBeLessThan(1e-3);
  expect(rms(out.subarray(210 * ms, 290 * ms))).toBeGreaterThan(0.2);
});

test("a page that takes over in the middle counts from there", () => {
  const playback = new Playback(DEVICE);
  playback.push(2, 48000, RATE, tone(0, 1600));
  expect(playback.report()).toMatchObject({ received: 49600, played: 48000 });
  play(playback, 300);
  expect(playback.report().played).toBe(49600);
});

test("whatever comes, played never goes back nor beyond received, and all of it is played in the end", () => {
  const step = fc.record({
    wait: fc.integer({ min: 0, max: 120 }),
    count: fc.integer({ min: 0, max: 3000 }),
    lost: fc.boolean(),
    flush: fc.integer({ min: 0, max: 15 }),
  });
  fc.assert(
    fc.property(
      fc.constantFrom(8000, 16000, 24000),
      fc.constantFrom(44100, 48000),
      fc.array(step),
      (rate, device, steps) => {
        const playback = new Playback(device);
        const out = new Float32Array(QUANTUM);
        let [gen, sent, before] = [0, 0, 0];
        const look = () => {
          const { played, received } = playback.report();
          expect(played).toBeGreaterThanOrEqual(before);
          expect(played).toBeLessThanOrEqual(received);
          before = played;
        };
        for (const { wait, count, lost, flush } of steps) {
          if (flush === 0) {
            playback.flush(++gen);
            [sent, before] = [0, 0];
          }
          if (!lost) playback.push(gen, sent, rate, new Int16Array(count));
          sent += count;
          look();
          for (let i = 0; i < wait; i++) {
            playback.read(out);
            look();
          }
        }
        for (let left = (15 * device) / QUANTUM; left > 0 && playback.report().playing; left--) playback.read(out);
        const { played, received, playing } = playback.report();
        expect([played, playing]).toEqual([received, false]);
      },
    ),
    { numRuns: 60 },
  );
});

test("what was heard lags behind by the device's delay and catches up when the audio has ended", () => {
  const meter = new HeardMeter();
  const base = { gen: 0, received: 1600, underruns: 0, rate: 16000 };
  expect(meter.take({ ...base, played: 1600, playing: true }, 1.0, 0.05)?.played).toBe(800);
  expect(meter.take({ ...base, played: 1600, playing: false }, 1.1, 0.05)).toBeNull();
  expect(meter.take({ ...base, played: 1600, playing: false }, 1.2, 0.05)?.played).toBe(1600);
  expect(meter.take({ ...base, played: 1600, playing: false }, 1.3, 0.05)).toBeNull();
  const next = { ...base, gen: 1, received: 0, played: 0, playing: false };
  expect(meter.take(next, 1.4, 0.05)).toEqual({ gen: 1, received: 0, played: 0, underruns: 0 });
  expect(meter.take({ ...base, played: 1600, playing: true }, 1.5, 0.05)).toBeNull();
});
