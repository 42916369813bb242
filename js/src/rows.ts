/** The board's rows, moved on by versions. Pure. */

import type { Move, Row } from "./wire";

const MOST = 1000;

export type Phase = "queued" | "active" | "done" | "failed";

/** In the order in which the rows were first seen. */
export interface Rows {
  version: number;
  byId: ReadonlyMap<string, Row>;
}

export const NO_ROWS: Rows = { version: 0, byId: new Map() };

export interface Moved {
  next: Rows;
  changed: string[];
  /** A move of a row that was never seen: the whole state is needed again. */
  gap: boolean;
}

export function fromRows(version: number, rows: readonly Row[]): Rows {
  return { version, byId: new Map(rows.map((row) => [row.id, row])) };
}

/** Apply what changed up to `version`; what is not newer than the known state changes nothing. */
export function applyRows(now: Rows, version: number, rows: readonly Row[], moves: readonly Move[]): Moved {
  if (version <= now.version) return { next: now, changed: [], gap: false };
  const byId = new Map(now.byId);
  const changed = new Set<string>();
  let gap = false;
  for (const row of rows) {
    byId.set(row.id, row);
    changed.add(row.id);
  }
  for (const [id, done, total, fraction, eta_s, elapsed_s, message] of moves) {
    const row = byId.get(id);
    if (row) {
      byId.set(id, { ...row, done, total, fraction, eta_s, elapsed_s, message });
      changed.add(id);
    } else gap = true;
  }
  letGo(byId);
  return { next: { version: gap ? now.version : version, byId }, changed: [...changed], gap };
}

/** Drop the oldest finished rows of too many, as the kernel does. */
function letGo(byId: Map<string, Row>): void {
  for (const [id, row] of byId) {
    if (byId.size <= MOST) return;
    if (phase(row) === "done" || phase(row) === "failed") byId.delete(id);
  }
}

export function phase(row: Row): Phase {
  if (row.status === "queued") return "queued";
  if (row.status === "running") return "active";
  return row.status === "done" ? "done" : "failed";
}

/** How many rows are in which phase. */
export function tally(rows: Rows): Record<Phase, number> {
  const count: Record<Phase, number> = { queued: 0, active: 0, done: 0, failed: 0 };
  for (const row of rows.byId.values()) count[phase(row)] += 1;
  return count;
}

/** Progress from 0 to 1, or null where it is unknown. */
export function fractionOf(row: Row): number | null {
  if (row.status === "done") return 1;
  const known = row.fraction ?? (row.total && row.done !== null ? row.done / row.total : null);
  return known === null ? null : Math.min(1, Math.max(0, known));
}

/** "12 s", "3 min 5 s", "2 h 10 min"; "" where the time is unknown. */
export function duration(seconds: number | null): string {
  if (seconds === null || seconds < 0) return "";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

const STATUS: Record<string, string> = {
  queued: "waiting",
  running: "running",
  done: "done",
  failed: "failed",
  cancelled: "cancelled",
  timed_out: "timed out",
  lost: "lost",
};

/** What a row says below its bar: how it stands and, while it is under way, what it reported last. */
export function remarks(row: Row): string {
  const under = phase(row) === "active" || phase(row) === "queued";
  const parts = [row.note, under ? count(row) : "", under ? row.message : ""];
  return [...new Set(parts.filter((part) => part !== ""))].join(" · ");
}

/** "7 of 20"; "" where there is nothing to count, or where `timing` says it. */
function count(row: Row): string {
  return row.done === null || row.total === null ? "" : `${brief(row.done)} of ${brief(row.total)}`;
}

/** A number without the digits that nobody reads. */
function brief(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

/** What stands at the end of a row: how far, and how long still or how long it took. */
export function timing(row: Row): string {
  const words = STATUS[row.status] ?? row.status;
  if (phase(row) !== "active") {
    // Nought is what has not begun.
    const took = row.status === "queued" ? "" : duration(row.elapsed_s || null);
    return took ? `${words} · ${took}` : words;
  }
  const fraction = fractionOf(row);
  const parts: string[] = [];
  if (fraction !== null) parts.push(`${Math.floor(fraction * 100)} %`);
  else if (row.done !== null) parts.push(brief(row.done));
  else parts.push(row.waits ? "waiting" : words);
  if (row.eta_s !== null) parts.push(`${duration(row.eta_s)} left`);
  else if (row.elapsed_s !== null) parts.push(duration(row.elapsed_s));
  return parts.join(" · ");
}
