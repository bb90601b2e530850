import { useEffect } from "react";
import type { Ask } from "stepwire";
import { useAsks } from "stepwire/react";
import { useDeclined, useTarget } from "./Question";

/**
 * The question that the box answers; null: what is written is a message.
 *
 * A question takes the box over only while it is empty, and leaves it only then: what a person has begun to write for
 * one must not go to the other because something happened meanwhile.
 */
export function useAim(isEmpty: boolean, isBusy: boolean, stored: string | null): Ask | null {
  const asks = useAsks();
  const [target, aim] = useTarget();
  const [declined] = useDeclined();
  const next = aimed(asks, target ?? (isEmpty ? null : stored), declined, isEmpty, isBusy);
  useEffect(() => {
    if (next !== target) aim(next);
  }, [next, target, aim]);
  return asks.find(({ id }) => id === next) ?? null;
}

function aimed(asks: readonly Ask[], target: string | null, declined: readonly string[], isEmpty: boolean, isBusy: boolean): string | null {
  const open = asks.filter(({ id, kind, status }) => kind === "text" && status === "open" && !declined.includes(id));
  const present = asks.find(({ id }) => id === target);
  if (present?.status === "open" || isBusy) return target;
  if (present && !isEmpty) {
    // Another attempt of its run asks again.
    const again = open.find(({ run_id, attempt }) => run_id !== null && run_id === present.run_id && attempt > present.attempt);
    return again?.id ?? target;
  }
  return isEmpty ? (open.at(-1)?.id ?? null) : null;
}
