/** The calls that wait for a yes or no, one under the other, each with its two buttons. Text is only ever text. */

import { element, setText } from "./dom";
import type { Question } from "./wire";

/** A question that has just moved under the pointer is not answered by the click that was meant for something else. */
const SETTLE_MS = 500;

export interface QuestionsView {
  root: HTMLElement;
  /** Show these; without `answerable` nobody is there to take an answer. */
  draw(questions: readonly Question[], answerable: boolean): void;
}

interface Shown {
  root: HTMLElement;
  text: HTMLElement;
  buttons: readonly HTMLButtonElement[];
  settled: boolean;
  answered: boolean;
}

export function questionsView(answer: (id: string, approved: boolean) => boolean, signal: AbortSignal): QuestionsView {
  const root = element("div", "bc-questions", {
    role: "group",
    "aria-label": "Waiting for your approval",
    "aria-live": "polite",
    tabindex: -1,
  });
  const shown = new Map<string, Shown>();
  let answerable = false;

  const enable = (view: Shown): void => {
    for (const button of view.buttons) button.disabled = !answerable || !view.settled || view.answered;
  };
  /** Keep the focus here when a button loses it: keys must not go to the notebook, whose commands they would be. */
  const leave = (view: Shown): void => {
    if (view.root.contains(document.activeElement)) root.focus();
  };
  const show = (question: Question): Shown => {
    const button = (words: string, approved: boolean): HTMLButtonElement => {
      const made = element("button", "bc-small", { type: "button", "aria-label": `${words}: ${question.text}` }, words);
      const click = (): void => {
        view.answered = answer(question.id, approved);
        leave(view);
        enable(view);
      };
      made.addEventListener("click", click, { signal });
      return made;
    };
    const buttons = [button("Allow", true), button("Don't allow", false)];
    const text = element("div", "bc-question-text", {}, question.text);
    const view: Shown = {
      root: element("div", "bc-question", {}, text, ...details(question), element("div", "bc-actions", {}, ...buttons)),
      text,
      buttons,
      settled: false,
      answered: false,
    };
    const settling = setTimeout(() => {
      view.settled = true;
      enable(view);
    }, SETTLE_MS);
    signal.addEventListener("abort", () => clearTimeout(settling));
    return view;
  };

  const draw = (questions: readonly Question[], live: boolean): void => {
    const regained = live && !answerable;
    answerable = live;
    const ids = new Set(questions.map((question) => question.id));
    for (const [id, view] of shown) {
      if (ids.has(id)) continue;
      leave(view);
      view.root.remove();
      shown.delete(id);
    }
    for (const question of questions) {
      let view = shown.get(question.id);
      if (!view) {
        view = show(question);
        shown.set(question.id, view);
        root.append(view.root);
      }
      setText(view.text, question.text);
      if (regained) view.answered = false;
      enable(view);
    }
  };
  return { root, draw };
}

/** All arguments of the call, to be opened; they are open where the question does not show all of them. */
function details(question: Question): HTMLElement[] {
  if (!question.arguments.length) return [];
  const rows = question.arguments.flatMap(([name, value]) => [
    element("dt", "bc-argument", {}, name),
    element("dd", "bc-value", {}, value),
  ]);
  const summary = element("summary", "", {}, "All arguments");
  return [element("details", "bc-arguments", { open: !question.whole }, summary, element("dl", "", {}, ...rows))];
}
