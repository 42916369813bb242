/** What the page knows of a conversation, moved on by numbered operations. Pure. */

import {
  type Caption,
  type Info,
  isObject,
  isState,
  type Op,
  parseCaption,
  parseQuestion,
  parseTexts,
  type Question,
  type VoiceState,
} from "./wire";

const CAPTIONS = 200;

export interface Conversation {
  /** Number of the last operation applied; null before the kernel's Welcome. */
  seq: number | null;
  state: VoiceState;
  detail: string;
  /** The client that hears and speaks; "" for nobody. */
  owner: string;
  gen: number;
  captions: readonly Caption[];
  info: Info;
  notices: readonly string[];
  /** The calls that wait for a yes or no, the oldest first. */
  questions: readonly Question[];
}

export const EMPTY: Conversation = {
  seq: null,
  state: "off",
  detail: "",
  owner: "",
  gen: 0,
  captions: [],
  info: {},
  notices: [],
  questions: [],
};

/** The conversation of a snapshot; `seq` is null for the saved one, which does not count operations. */
export function fromSnapshot(snapshot: unknown, seq: number | null): Conversation {
  if (!isObject(snapshot)) return { ...EMPTY, seq };
  const questions = Array.isArray(snapshot.questions) ? snapshot.questions.map(parseQuestion) : [];
  const captions = Array.isArray(snapshot.captions) ? snapshot.captions.map(parseCaption) : [];
  return {
    seq,
    state: isState(snapshot.state) ? snapshot.state : "off",
    detail: typeof snapshot.detail === "string" ? snapshot.detail : "",
    owner: typeof snapshot.owner === "string" ? snapshot.owner : "",
    gen: Number.isSafeInteger(snapshot.gen) ? (snapshot.gen as number) : 0,
    captions: captions.filter((caption) => caption !== null).slice(-CAPTIONS),
    info: isObject(snapshot.info) ? snapshot.info : {},
    notices: parseTexts(snapshot.notices),
    questions: questions.filter((question) => question !== null),
  };
}

/** Whether a Welcome of this number tells something new; one that was sent twice must not take back what came after. */
export function isNews(now: Conversation, seq: number): boolean {
  return now.seq === null || seq > now.seq;
}

export interface Applied {
  next: Conversation;
  /** The operations that were new, in order. */
  fresh: Op[];
  /** True when an earlier operation is missing: nothing was applied, the kernel sends it again. */
  gap: boolean;
}

/** Apply the operations that were not applied before; `ops[0]` has number `seq`. */
export function applyOps(now: Conversation, seq: number, ops: readonly (Op | null)[]): Applied {
  if (now.seq === null || seq > now.seq + 1) return { next: now, fresh: [], gap: true };
  const fresh = ops.slice(now.seq + 1 - seq);
  let next = now;
  for (const op of fresh) if (op) next = applyOp(next, op);
  if (fresh.length > 0) next = { ...next, seq: seq + ops.length - 1 };
  return { next, fresh: fresh.filter((op) => op !== null), gap: false };
}

function applyOp(now: Conversation, op: Op): Conversation {
  switch (op.op) {
    case "flush":
      return { ...now, gen: Math.max(now.gen, op.gen) };
    case "state":
      return { ...now, state: op.state, detail: op.detail };
    case "caption": {
      const { op: _, ...caption } = op;
      return { ...now, captions: withCaption(now.captions, caption) };
    }
    case "owner":
      return { ...now, owner: op.client };
    case "info": {
      const { op: _, ...info } = op;
      return { ...now, info: { ...now.info, ...info } };
    }
    case "notices":
      return { ...now, notices: op.notices };
    case "question": {
      const { op: _, ...question } = op;
      return { ...now, questions: [...without(now.questions, op.id), question] };
    }
    case "answered":
      return { ...now, questions: without(now.questions, op.id) };
  }
}

function without(questions: readonly Question[], id: string): readonly Question[] {
  return questions.filter((question) => question.id !== id);
}

function withCaption(captions: readonly Caption[], caption: Caption): readonly Caption[] {
  const at = captions.findLastIndex((known) => known.id === caption.id);
  if (at >= 0) return captions.with(at, caption);
  return [...captions, caption].slice(-CAPTIONS);
}
