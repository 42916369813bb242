/** Small helpers for plain DOM. Text is only ever text. */

type Attributes = Record<string, string | number | boolean>;

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

/** Set the text when it changed; screen readers announce a live region that is written again. */
export function setText(node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** A function that runs `draw` in the next frame, once however often it is called. */
export function everyFrame(signal: AbortSignal, draw: () => void): () => void {
  let asked = 0;
  signal.addEventListener("abort", () => cancelAnimationFrame(asked));
  return () => {
    if (asked || signal.aborted) return;
    asked = requestAnimationFrame(() => {
      asked = 0;
      draw();
    });
  };
}

/** A signal that is aborted when `parent` is, or by the function beside it. */
export function lifetime(parent?: AbortSignal): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController();
  const end = () => controller.abort();
  if (parent?.aborted) end();
  parent?.addEventListener("abort", end, { once: true });
  return { signal: controller.signal, end };
}
