import { useLayoutEffect, useRef, type RefObject } from "react";

/**
 * For a control that goes away by itself, as Stop does when the run is over: if it has the keyboard's focus then, the
 * focus goes to what `to` finds, and not to the body of the page, from where Tab begins anew.
 */
export function useFocusAfter<T extends HTMLElement>(to: () => HTMLElement | null): RefObject<T | null> {
  const ref = useRef<T>(null);
  const find = useRef(to);
  find.current = to;
  useLayoutEffect(() => {
    const element = ref.current;
    return () => {
      if (element !== null && element.contains(document.activeElement)) queueMicrotask(() => find.current()?.focus());
    };
  }, []);
  return ref;
}

/** The box that the person writes in. */
export const findBox = () => document.querySelector<HTMLElement>(".talk-box:not(:disabled)");
