import { expect, test } from "vitest";
import { type Facts, microphoneFault, status } from "../src/status";

const calm: Facts = {
  state: "listening",
  detail: "",
  owner: "me",
  kernel: "connected",
  welcomed: true,
  microphone: "on",
  sound: "on",
  hush: "none",
  muteAfterS: 600,
  unanswered: false,
  outdated: false,
};
const shown = (change: Partial<Facts>) => status({ ...calm, ...change });

test("while all is well the kernel's own state and sentence are shown", () => {
  expect(shown({})).toMatchObject({ state: "listening", word: "Listening", pressed: true, offer: "none" });
  expect(shown({ state: "thinking", detail: "Looking it up." }).sentence).toBe("Looking it up.");
});

test("what is worst is what is said", () => {
  const all = { unanswered: true, owner: "other", sound: "needs-click", microphone: "refused" } as const;
  expect(shown({ ...all, outdated: true, kernel: "gone" }).sentence).toContain("Reload the page");
  expect(shown({ ...all, kernel: "gone" }).sentence).toContain("kernel is gone");
  expect(shown(all)).toMatchObject({ state: "paused" });
  expect(shown({ ...all, unanswered: false })).toMatchObject({ offer: "take", pressed: false });
});

test("every fault has its own sentence", () => {
  const sentences = [
    shown({ state: "off", owner: "nobody", microphone: "refused" }),
    shown({ state: "off", owner: "nobody", microphone: "missing" }),
    shown({ state: "off", owner: "nobody", microphone: "busy" }),
    shown({ state: "off", owner: "nobody", microphone: "insecure" }),
    shown({ sound: "needs-click" }),
    shown({ sound: "blocked" }),
    shown({ sound: "insecure" }),
    shown({ kernel: "restarting" }),
    shown({ kernel: "replaced" }),
    shown({ kernel: "connecting" }),
  ].map((made) => made.sentence);
  expect(new Set(sentences).size).toBe(sentences.length);
  expect(sentences[3]).toContain("https or as localhost");
});

test("a suspended speaker offers a click, one that is blocked cannot", () => {
  expect(shown({ sound: "needs-click" })).toMatchObject({ state: "paused", offer: "sound" });
  expect(shown({ sound: "blocked" })).toMatchObject({ state: "error", offer: "none" });
});

test("without a microphone the answers are still shown as spoken", () => {
  expect(shown({ state: "speaking", microphone: "refused" }).state).toBe("speaking");
});

test("before the kernel's welcome nothing can be pressed", () => {
  expect(shown({ welcomed: false }).enabled).toBe(false);
});

test("the browser's exceptions are told apart", () => {
  const fault = (name: string) => microphoneFault(Object.assign(new Error("x"), { name }));
  expect(fault("NotAllowedError")).toBe("refused");
  expect(fault("NotFoundError")).toBe("missing");
  expect(fault("NotReadableError")).toBe("busy");
  expect(microphoneFault("odd")).toBe("refused");
});

test("nobody is asked to speak while the microphone sends nothing", () => {
  expect(shown({ hush: "muted" })).toMatchObject({ state: "paused", word: "Muted", pressed: true });
  const silence = shown({ hush: "silence" });
  expect(`${silence.word} ${silence.sentence}`).toContain("Muted after ten minutes of silence.");
  expect(shown({ hush: "silence", muteAfterS: 90 }).sentence).toContain("90 seconds");
  expect(shown({ hush: "not-held" })).toMatchObject({ state: "paused", word: "Push to talk" });
  for (const hush of ["muted", "silence", "not-held"] as const) {
    for (const state of ["listening", "speaking", "thinking"] as const) {
      const { word, sentence } = shown({ hush, state });
      expect(`${word} ${sentence}`).not.toMatch(/Listening|Speak now|interrupt at any time/);
    }
  }
});

test("only an open microphone of this page is muted", () => {
  expect(shown({ hush: "muted", microphone: "none" })).toMatchObject({ state: "listening", pressed: false });
  expect(shown({ hush: "not-held", state: "off", owner: "nobody", microphone: "none" }).state).toBe("off");
});

test("a microphone that another notebook took can be taken back", () => {
  const taken = { microphone: "elsewhere", owner: "nobody", state: "off" } as const;
  expect(shown(taken)).toMatchObject({ state: "off", offer: "take", pressed: false });
  expect(shown(taken).sentence).toBe("In use in another tab or widget.");
  expect(shown({ ...taken, owner: "me", state: "listening" }).sentence).toContain("Type below");
});
