import { memo } from "react";
import type { Row } from "stepwire";
import { Fault } from "../app/Fault";
import { AttemptRow } from "./AttemptRow";
import { Message } from "./Message";
import { RunRow } from "./RunRow";
import { StepRow } from "./StepRow";

interface Props {
  readonly item: Row;
  readonly index: number;
  readonly start: number;
  readonly measure: (element: HTMLElement | null) => void;
  readonly at: number;
  readonly of: number;
  readonly isSelected: boolean;
  readonly isTabStop: boolean;
}

/** A row of the window, where it stands in the whole list. */
export const Line = memo(function Line({ item, index, start, measure, at, of, isSelected, isTabStop }: Props) {
  const { kind: kindOf, depth, open, descendants, message } = item;
  const kind = message ? "message" : kindOf;
  return (
    <div className="row" ref={kind === "message" ? measure : undefined} role="treeitem" data-index={index} data-key={item.key} data-kind={kind}
      style={{ transform: `translateY(${start}px)` }} tabIndex={isTabStop ? 0 : -1}
      aria-level={depth + 1} aria-posinset={at} aria-setsize={of} aria-selected={isSelected}
      aria-expanded={descendants > 0 ? open : undefined}>
      <Fault what="this row" of={item}>
        {kind === "message" ? <Message item={item} isSelected={isSelected} />
          : kind === "step" ? <StepRow item={item} isSelected={isSelected} measure={measure} />
          : kind === "run" ? <RunRow item={item} isSelected={isSelected} />
          : <AttemptRow item={item} />}
      </Fault>
    </div>
  );
});
