import { useCallback, useEffect, useLayoutEffect, useRef, useState, type RefObject } from "react";

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

/** For a form that was refused: the function takes the focus to the first field that is wrong, once it is drawn as such. */
export function useFocusOnWrong(form: RefObject<HTMLElement | null>): () => void {
  const [refusals, count] = useState(0);
  useEffect(() => {
    if (refusals > 0) form.current?.querySelector<HTMLElement>("[aria-invalid]")?.focus();
  }, [refusals, form]);
  return useCallback(() => count((before) => before + 1), []);
}
