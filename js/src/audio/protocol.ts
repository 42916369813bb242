/** What the page and its two audio processors say to each other. */

import type { Report } from "./playback";

export interface CaptureOptions {
  /** Of the chunks, in Hz. */
  rate: number;
  chunkMs: number;
}

export type CaptureMessage = { muted: boolean } | { close: true };

export interface CaptureChunk {
  pcm: ArrayBuffer;
  level: number;
}

export type PlaybackMessage =
  | { gen: number; start: number; rate: number; pcm: ArrayBuffer }
  | { flush: number }
  | { drop: true }
  | { tap: boolean };

export type PlaybackReport =
  | { report: Report }
  | { flushed: number; unheard: number }
  | { frame: number; tapped: ArrayBuffer };
