import type { StepElement } from "stepwire";
import { useElements } from "stepwire/react";

/** Elements that stand with no step, of which a session has one of each type. */
const OWN = new Set(["settings", "sidebar", "chat_profile"]);

/** The session's own element of a type, if it has one. */
export function useOwnElement(type: "settings" | "sidebar" | "chat_profile"): StepElement | null {
  return useElements(null).find((element) => element.type === type && OWN.has(type)) ?? null;
}

export const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null && !Array.isArray(value);
