/** What kernel and page say to each other. Pure; mirrors src/backchannel/notebook/wire.py, see there. */

/** Of this protocol; with a kernel of another version the page asks for a reload. */
export const VERSION = 1;

/** What our JupyterLab extension renders: the live widget, or the text/html beside it. */
export const VIEW_MIMETYPE = "application/vnd.backchannel.view+json";

export const STATES = [
  "off",
  "connecting",
  "listening",
  "thinking",
  "speaking",
  "reconnecting",
  "paused",
  "error",
] as const;
export type VoiceState = (typeof STATES)[number];

export interface Caption {
  id: string;
  role: "user" | "assistant" | "note";
  text: string;
  final: boolean;
  heard: boolean;
}

/** A call that waits for a yes or no. `arguments` are names and values; `whole` if the text shows all of them. */
export interface Question {
  id: string;
  text: string;
  tool: string;
  arguments: readonly (readonly [string, string])[];
  whole: boolean;
}

/**
 * A task, as src/backchannel/notebook/reruns.py gives it; times in seconds, null where unknown.
 * `note` says in a few words what its status does not, `waits` that nothing of it runs here just now, and `again`
 * that it may be run again.
 */
export interface Row {
  id: string;
  number: number;
  tool: string;
  label: string;
  status: string;
  fraction: number | null;
  done: number | null;
  total: number | null;
  message: string;
  eta_s: number | null;
  elapsed_s: number | null;
  text: string;
  error: string;
  logs: string[];
  note: string;
  waits: boolean;
  again: boolean;
}

/** [id, done, total, fraction, eta_s, elapsed_s, message] of a row of which only the progress moved. */
export type Move = [string, number | null, number | null, number | null, number | null, number | null, string];

export type Info = Record<string, unknown>;

export type Op =
  | { op: "flush"; gen: number }
  | { op: "state"; state: VoiceState; detail: string }
  | ({ op: "caption" } & Caption)
  | { op: "owner"; client: string }
  | ({ op: "info" } & Info)
  | { op: "notices"; notices: string[] }
  | ({ op: "question" } & Question)
  | { op: "answered"; id: string };

type Json = Record<string, unknown>;

export type FromPage =
  | { k: "hello"; client: string; version: number; lab: boolean; keeps: boolean }
  | { k: "claim"; client: string; force: boolean; microphone: boolean }
  | { k: "release"; client: string }
  | { k: "mic"; client: string; n: number; rate: number }
  | { k: "played"; client: string; gen: number; received: number; played: number; underruns: number }
  | { k: "say"; client: string; text: string }
  | { k: "cancel"; client: string; task: string }
  | { k: "again"; client: string; task: string }
  | { k: "answer"; client: string; question: string; approved: boolean }
  | { k: "ack"; client: string; seq: number; version: number }
  | { k: "ping"; client: string; t: number };

export type ToPage =
  | { k: "welcome"; to: string; seq: number; version: number; snapshot: Record<string, unknown> }
  | { k: "ops"; to: string; seq: number; ops: (Op | null)[] }
  | { k: "audio"; to: string; gen: number; start: number; rate: number }
  | { k: "heard"; to: string; n: number }
  | { k: "rows"; to: string; version: number; rows: Row[]; moves: Move[] }
  | { k: "output"; to: string; id: string; data: Json; metadata: Json; beside: string }
  | { k: "pong"; to: string; t: number };

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown): value is string => typeof value === "string";
const orNull = (value: unknown): number | null => (Number.isFinite(value) ? (value as number) : null);
const textOf = (value: unknown): string => (isText(value) ? value : "");

/** The message in `content`, or null when it is not one of this protocol. An operation it does not know is null. */
export function parse(content: unknown): ToPage | null {
  if (!isObject(content) || !isText(content.to)) return null;
  const { k, to } = content;
  if (k === "welcome") {
    const { seq, version, snapshot } = content;
    return isCount(seq) && isCount(version) && isObject(snapshot) ? { k, to, seq, version, snapshot } : null;
  }
  if (k === "ops") {
    const { seq, ops } = content;
    return isCount(seq) && Array.isArray(ops) ? { k, to, seq, ops: ops.map(parseOp) } : null;
  }
  if (k === "audio") {
    const { gen, start, rate } = content;
    return isCount(gen) && isCount(start) && isCount(rate) && rate > 0 ? { k, to, gen, start, rate } : null;
  }
  if (k === "heard") return isCount(content.n) ? { k, to, n: content.n } : null;
  if (k === "rows") {
    const { version, rows, moves } = content;
    if (!isCount(version) || !Array.isArray(rows)) return null;
    return { k, to, version, rows: parseRows(rows), moves: parseMoves(moves) };
  }
  if (k === "output") {
    const { id, data, metadata, beside } = content;
    if (!isText(id) || id === "" || !isObject(data)) return null;
    return { k, to, id, data, metadata: isObject(metadata) ? metadata : {}, beside: textOf(beside) };
  }
  if (k === "pong") return Number.isFinite(content.t) ? { k, to, t: content.t as number } : null;
  return null;
}

export function parseOp(value: unknown): Op | null {
  if (!isObject(value)) return null;
  if (value.op === "flush") return isCount(value.gen) ? { op: "flush", gen: value.gen } : null;
  if (value.op === "state") {
    return isState(value.state) ? { op: "state", state: value.state, detail: textOf(value.detail) } : null;
  }
  if (value.op === "caption") {
    const caption = parseCaption(value);
    return caption && { op: "caption", ...caption };
  }
  if (value.op === "owner") return isText(value.client) ? { op: "owner", client: value.client } : null;
  if (value.op === "info") return { ...value, op: "info" };
  if (value.op === "notices") return { op: "notices", notices: parseTexts(value.notices) };
  if (value.op === "question") {
    const question = parseQuestion(value);
    return question && { op: "question", ...question };
  }
  if (value.op === "answered") return isText(value.id) ? { op: "answered", id: value.id } : null;
  return null;
}

export function isState(value: unknown): value is VoiceState {
  return (STATES as readonly unknown[]).includes(value);
}

export function parseTexts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(isText) : [];
}

export function parseCaption(value: unknown): Caption | null {
  if (!isObject(value)) return null;
  const { id, role, text, final, heard } = value;
  if (!isText(id) || !isText(text) || (role !== "user" && role !== "assistant" && role !== "note")) return null;
  return { id, role, text, final: final !== false, heard: heard !== false };
}

export function parseQuestion(value: unknown): Question | null {
  if (!isObject(value) || !isText(value.id) || !isText(value.text)) return null;
  const given = Array.isArray(value.arguments) ? value.arguments : [];
  return {
    id: value.id,
    text: value.text,
    tool: textOf(value.tool),
    arguments: given.flatMap((item) =>
      Array.isArray(item) && item.length === 2 && item.every(isText) ? [item] : [],
    ) as [string, string][],
    whole: value.whole !== false,
  };
}

/** The rows among `values`; what is not a row is left out, a field that is not what it should be counts as unknown. */
export function parseRows(values: unknown): Row[] {
  if (!Array.isArray(values)) return [];
  return values.filter(isObject).flatMap((value) => {
    if (!isText(value.id)) return [];
    const row: Row = {
      id: value.id,
      number: orNull(value.number) ?? 0,
      tool: textOf(value.tool),
      label: textOf(value.label),
      status: textOf(value.status),
      fraction: orNull(value.fraction),
      done: orNull(value.done),
      total: orNull(value.total),
      message: textOf(value.message),
      eta_s: orNull(value.eta_s),
      elapsed_s: orNull(value.elapsed_s),
      text: textOf(value.text),
      error: textOf(value.error),
      logs: parseTexts(value.logs),
      note: textOf(value.note),
      waits: value.waits === true,
      again: value.again === true,
    };
    return [row];
  });
}

function parseMoves(values: unknown): Move[] {
  if (!Array.isArray(values)) return [];
  return values.flatMap((value) => {
    if (!Array.isArray(value) || !isText(value[0])) return [];
    const numbers = [1, 2, 3, 4, 5].map((at) => orNull(value[at])) as [
      number | null,
      number | null,
      number | null,
      number | null,
      number | null,
    ];
    return [[value[0], ...numbers, textOf(value[6])] as Move];
  });
}

/** The samples in a comm buffer; copied, because the buffer may start at an odd byte. */
export function samplesOf(buffer: ArrayBuffer | ArrayBufferView | undefined): Int16Array<ArrayBuffer> | null {
  if (!buffer) return null;
  const bytes = ArrayBuffer.isView(buffer)
    ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
    : new Uint8Array(buffer);
  if (bytes.length % 2 !== 0) return null;
  return new Int16Array(bytes.slice().buffer);
}
