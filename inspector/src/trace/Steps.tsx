import { Icon } from "../design/Icon";
import { following } from "./find";

interface PlaceProps {
  readonly list: readonly string[];
  readonly current: string | null;
  readonly none: string;
}

/** As in `2 of 7`. */
export function Place({ list, current, none }: PlaceProps) {
  const at = current === null ? -1 : list.indexOf(current);
  return <output className="tools-place">{list.length === 0 ? none : at < 0 ? list.length.toLocaleString() : `${(at + 1).toLocaleString()} of ${list.length.toLocaleString()}`}</output>;
}

interface StepsProps {
  readonly list: readonly string[];
  readonly current: string | null;
  readonly what: string;
  readonly onGo: (key: string) => void;
}

/** Leads to the next one of a list, or to the one before; around its ends. */
export function Steps({ list, current, what, onGo }: StepsProps) {
  const go = (by: 1 | -1) => {
    const next = following(list, current, by);
    if (next !== null) onGo(next);
  };
  return (
    <>
      <button type="button" className="button quiet icon-only" aria-label={`Previous ${what}`} disabled={list.length === 0} onClick={() => go(-1)}><Icon name="up" /></button>
      <button type="button" className="button quiet icon-only" aria-label={`Next ${what}`} disabled={list.length === 0} onClick={() => go(1)}><Icon name="down" /></button>
    </>
  );
}
