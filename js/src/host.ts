/** What the page gives to a widget: its anywidget model, narrowed, the kernel behind it, and the page's own id. */

import type { Kernel } from "./status";

type Buffers = (ArrayBuffer | ArrayBufferView)[];

interface Signal {
  connect(slot: () => void): unknown;
  disconnect(slot: () => void): unknown;
}

interface KernelConnection {
  status?: string;
  connectionStatus?: string;
  statusChanged?: Signal;
  connectionStatusChanged?: Signal;
  disposed?: Signal;
}

export interface WidgetModel {
  get(name: string): unknown;
  on(name: string, callback: (...values: never[]) => void): void;
  off(name?: string | null, callback?: ((...values: never[]) => void) | null): void;
  send(content: unknown, callbacks?: unknown, buffers?: Buffers): void;
  widget_manager?: { kernel?: KernelConnection | null };
}

export interface InitializeContext {
  model: WidgetModel;
  /** Aborted when the model goes; anywidget before 0.11 gives none. */
  signal?: AbortSignal;
}

export interface RenderContext extends InitializeContext {
  el: HTMLElement;
}

/** What the JupyterLab extension leaves for the widgets. */
export interface LabFlag {
  /** Of the protocol. */
  version: number;
  /** Where the worklets' script is served. */
  worklets: string;
  /** The server extension answered; null while it was not asked or has not answered yet. */
  server: boolean | null;
}

declare global {
  interface Window {
    __backchannel_lab?: LabFlag;
  }
}

/** The same object for all views of one model. anywidget's models are proxies; the layout behind each is one object. */
export function identity(model: WidgetModel): object {
  const layout = model.get("layout");
  return typeof layout === "object" && layout !== null ? layout : model;
}

/**
 * This page's id for the model: kept over a reload, another one in a duplicated tab. Calls back at once, or as
 * soon as the browser has said whether another tab uses the kept one.
 */
export function clientId(model: WidgetModel, signal: AbortSignal): Promise<string> {
  const { model_id: name = "" } = identity(model) as { model_id?: string };
  const key = `backchannel:client:${name}`;
  const kept = name ? remembered(key) : null;
  const made = kept ?? newId();
  if (!kept) remember(key, made);
  const locks = globalThis.navigator?.locks;
  if (!name || !locks) return Promise.resolve(made);
  return new Promise((done) => {
    const hold = new Promise<void>((release) => signal.addEventListener("abort", () => release()));
    const claim = (id: string): Promise<unknown> =>
      locks.request(`backchannel:${id}`, { ifAvailable: true }, (lock) => {
        if (lock) {
          done(id);
          return hold;
        }
        const other = newId();
        remember(key, other);
        void claim(other);
        return undefined;
      });
    claim(made).catch(() => done(made));
  });
}

function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A value of this tab, kept over a reload; null where the browser keeps none. */
export function remembered(key: string): string | null {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string): void {
  try {
    sessionStorage.setItem(key, value);
  } catch {
    // Storage may be forbidden; then the id lives as long as the page.
  }
}

/** Tell how the kernel is, now and at every change, until `signal` is aborted. */
export function watchKernel(model: WidgetModel, signal: AbortSignal, tell: (kernel: Kernel) => void): void {
  const kernel = model.widget_manager?.kernel;
  let last: Kernel | null = null;
  let restarted = false;
  const look = (): void => {
    const state = kernelState(kernel);
    if (state === "restarting") restarted = true;
    const now = restarted && state === "connected" ? "replaced" : state;
    if (now !== last) tell(now);
    last = now;
  };
  for (const changed of [kernel?.statusChanged, kernel?.connectionStatusChanged]) {
    changed?.connect(look);
    signal.addEventListener("abort", () => changed?.disconnect(look));
  }
  look();
}

/**
 * Call `end` when the page gives up its connection to the kernel, as when a notebook is closed: the widget's model
 * stays in memory then, and another one is made when the notebook is opened again.
 */
export function whenKernelLeaves(model: WidgetModel, signal: AbortSignal, end: () => void): void {
  const disposed = model.widget_manager?.kernel?.disposed;
  // Later: who shows how the kernel is looks first.
  const leave = (): void => queueMicrotask(end);
  disposed?.connect(leave);
  signal.addEventListener("abort", () => disposed?.disconnect(leave));
}

/** Of JupyterLab's kernel connection; a page that shows none is taken to be connected. */
export function kernelState(kernel: KernelConnection | null | undefined): Kernel {
  if (!kernel) return "connected";
  const { status = "", connectionStatus = "connected" } = kernel;
  if (status === "dead" || status === "terminating") return "gone";
  if (status === "restarting" || status === "autorestarting") return "restarting";
  return connectionStatus === "connected" ? "connected" : "connecting";
}
