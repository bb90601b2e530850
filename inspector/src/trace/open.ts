import type { Step } from "stepwire";

/**
 * What is open in the trace: as the person has chosen, else as the step says. The end of a step closes it only if the
 * step itself asks for that (`auto_collapse`); nothing else that happens opens or closes what a person looks at.
 */
export class OpenState {
  /** Of {@link isOpen}: another function after each change, as lists of rows want it. */
  isOpen: (step: Step) => boolean;
  #base: "own" | "open" | "closed" = "own";
  readonly #choices = new Map<string, boolean>();
  readonly #listeners = new Set<() => void>();

  constructor() {
    this.isOpen = (step) => this.#look(step);
  }

  /** Whether the line of a step has its text and what stands with it below it. */
  isBodyOpen(step: Step, hasChildren: boolean, hasMore: boolean): boolean {
    const own = this.#base === "own" ? step.default_open || hasMore : this.#base === "open" || hasMore;
    return (hasChildren ? undefined : this.#choices.get(step.id)) ?? own;
  }

  set(key: string, open: boolean): void {
    this.#choices.set(key, open);
    this.#changed();
  }

  /** Everything, also what is still to come. */
  setAll(open: boolean): void {
    this.#base = open ? "open" : "closed";
    this.#choices.clear();
    this.#changed();
  }

  /** What stands above a step, so that it is to be seen. */
  reveal(path: readonly string[]): void {
    for (const id of path.slice(0, -1)) this.#choices.set(id, true);
    this.#changed();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  #look(step: Step): boolean {
    const choice = this.#choices.get(step.id);
    if (choice !== undefined) return choice;
    if (this.#base !== "own") return this.#base === "open" || isMessage(step);
    // A conversation is not folded into the message that began it.
    return isMessage(step) || step.status === "running" || !step.auto_collapse;
  }

  #changed(): void {
    this.isOpen = (step) => this.#look(step);
    for (const listener of [...this.#listeners]) listener();
  }
}

export const isMessage = (step: Step) => step.type.endsWith("_message");
