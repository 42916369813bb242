/** Renders a bundle that has a live widget and its saved text: the text at once, the widget when it lives. */

import { type IRenderMimeRegistry, MimeModel } from "@jupyterlab/rendermime";
import type { IRenderMime } from "@jupyterlab/rendermime-interfaces";
import { Panel, type Widget } from "@lumino/widgets";
import { VIEW_MIMETYPE } from "../wire";

const WIDGET_MIMETYPE = "application/vnd.jupyter.widget-view+json";
const LIVE = "[data-backchannel-live]";
/** Before the widget manager's own -10. */
const RANK = -20;

/** Let `registry`, a notebook's own, show our bundles; `stock` is the one that it was made from. */
export function registerView(registry: IRenderMimeRegistry, stock: IRenderMimeRegistry): void {
  const waiting = new Set<() => void>();
  const add = registry.addFactory.bind(registry);
  // The widget manager gives the notebook its factory once the kernel is known, and tells nobody.
  registry.addFactory = (factory, rank) => {
    add(factory, rank);
    if (factory.mimeTypes.includes(WIDGET_MIMETYPE)) for (const ready of [...waiting]) ready();
  };
  const managed = (): boolean => {
    const factory = registry.getFactory(WIDGET_MIMETYPE);
    return factory !== undefined && factory !== stock.getFactory(WIDGET_MIMETYPE);
  };
  add({ safe: false, mimeTypes: [VIEW_MIMETYPE], createRenderer: () => new View(registry, managed, waiting) }, RANK);
}

class View extends Panel implements IRenderMime.IRenderer {
  readonly #registry: IRenderMimeRegistry;
  readonly #managed: () => boolean;
  readonly #waiting: Set<() => void>;
  readonly #observer = new MutationObserver(() => this.#look());
  readonly #mount = (): void => this.#mountWidget();
  #saved: (Widget & IRenderMime.IRenderer) | null = null;
  #widget: (Widget & IRenderMime.IRenderer) | null = null;
  #modelId = "";

  constructor(registry: IRenderMimeRegistry, managed: () => boolean, waiting: Set<() => void>) {
    super();
    this.addClass("backchannel-view");
    this.#registry = registry;
    this.#managed = managed;
    this.#waiting = waiting;
    waiting.add(this.#mount);
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const view = model.data[VIEW_MIMETYPE] as { model_id?: unknown } | undefined;
    const modelId = typeof view?.model_id === "string" ? view.model_id : "";
    if (modelId !== this.#modelId) {
      this.#modelId = modelId;
      this.#mountWidget();
    }
    await this.#showSaved(model);
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.#observer.disconnect();
    this.#waiting.delete(this.#mount);
    super.dispose();
  }

  async #showSaved(model: IRenderMime.IMimeModel): Promise<void> {
    const mimeType = ["text/html", "text/plain"].find((type) => type in model.data);
    if (!mimeType || this.isDisposed) return;
    if (!this.#saved) {
      this.#saved = this.#registry.createRenderer(mimeType);
      this.insertWidget(0, this.#saved);
      this.#look();
    }
    // Untrusted: the text goes through JupyterLab's sanitizer, whoever wrote it.
    const data = { [mimeType]: model.data[mimeType] as string };
    await this.#saved.renderModel(new MimeModel({ data, trusted: false }));
  }

  #mountWidget(): void {
    if (this.isDisposed || !this.#modelId || !this.#managed()) return;
    this.#widget?.dispose();
    const widget = this.#registry.createRenderer(WIDGET_MIMETYPE);
    this.#widget = widget;
    this.addWidget(widget);
    this.#look();
    this.#observer.observe(widget.node, { childList: true, subtree: true, attributeFilter: ["data-backchannel-live"] });
    const data = { [WIDGET_MIMETYPE]: { model_id: this.#modelId, version_major: 2, version_minor: 0 } };
    widget.renderModel(new MimeModel({ data, trusted: true })).catch((error: unknown) => {
      console.warn("Backchannel: the live widget could not be shown; its saved text stays.", error);
    });
  }

  /** Show what is alive. */
  #look(): void {
    const live = this.#widget?.node.querySelector(LIVE) != null;
    this.#widget?.setHidden(!live);
    this.#saved?.setHidden(live);
  }
}
