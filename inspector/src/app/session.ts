/** What the parts of the page share of the session that is shown. Selectors of single documents are in `stepwire/react`. */
import { useCurrentSession, useStore } from "stepwire/react";
import { claims } from "./token";

/** The session: what a person can do in it, and its store. */
export const useSession = useCurrentSession;

/** Whether the session takes what a person does: its stream is not closed, and the token has the right to. */
export function useWritable(): boolean {
  const state = useStore("connection", (store) => store.connection().state);
  return state !== "closed" && may("write");
}

/** Whether the token has a right; of a token that does not tell its rights, the gateway will say. */
export function may(right: string): boolean {
  const { rights } = claims();
  return !Array.isArray(rights) || rights.includes(right) || rights.includes("admin");
}
