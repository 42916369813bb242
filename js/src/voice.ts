/** The voice widget: anywidget's entry. The session belongs to the model, so that several views share it. */

import { lifetime } from "./dom";
import { type InitializeContext, identity, type RenderContext, type WidgetModel } from "./host";
import { Session } from "./session";
import { voiceView } from "./voice_view";

const sessions = new WeakMap<object, Session>();

function initialize({ model, signal }: InitializeContext): () => void {
  const life = lifetime(signal);
  const key = identity(model);
  sessions.set(key, new Session(model, life.signal));
  life.signal.addEventListener("abort", () => sessions.delete(key));
  return life.end;
}

function render({ model, el, signal }: RenderContext): () => void {
  const life = lifetime(signal);
  const root = document.createElement("div");
  root.className = "bc-voice";
  el.append(root);
  voiceView(root, sessionOf(model), life.signal);
  root.dataset.backchannelLive = "voice";
  root.dispatchEvent(new CustomEvent("backchannel:live", { bubbles: true }));
  return () => {
    life.end();
    root.remove();
  };
}

function sessionOf(model: WidgetModel): Session {
  const session = sessions.get(identity(model));
  if (!session) throw new Error("Backchannel: the voice widget was shown before it was initialized.");
  return session;
}

export default { initialize, render };
