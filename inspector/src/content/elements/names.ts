import type { StepElement } from "stepwire";

/** What an element is called; one whose author has given it no name, by its type. */
export function nameOf({ name, type }: StepElement): string {
  return said(name) || said(type) || "element";
}

function said(word: unknown): string {
  return typeof word === "string" ? word.trim() : "";
}
