/** The voice widget: anywidget's entry. The session belongs to the model, so that several views share it. */

import { lifetime } from "./dom";
import { type InitializeContext, identity, type RenderContext, type WidgetModel, whenKernelLeaves } from "./host";
import { Session } from "./session";
import { voiceView } from "./voice_view";

const sessions = new WeakMap<object, Session>();

function initialize({ model, signal }: InitializeContext): () => void {
  const life = lifetime(signal);
  whenKernelLeaves(model, life.signal, life.end);
  sessions.set(identity(model), new Session(model, life.signal));
  return life.end;
}

function render({ model, el, signal }: RenderContext): () => void {
  const life = lifetime(signal);
  const root = document.createElement("div");
  root.className = "bc-voice";
  el.append(root);
  const session = sessionOf(model);
  voiceView(root, session, life.signal);
  session.shown(life.signal);
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
