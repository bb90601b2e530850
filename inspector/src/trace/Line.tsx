import { memo } from "react";
import type { Row } from "stepwire";
import { Fault } from "../app/Fault";
import { AttemptRow } from "./AttemptRow";
import type { Measuring } from "./measuring";
import { Message } from "./Message";
import { RunRow } from "./RunRow";
import { StepRow } from "./StepRow";

interface Props extends ContentProps {
  /** Of a row that does not stand among the others: where, from them. */
  readonly start: number | undefined;
  readonly at: number;
  readonly of: number;
  readonly isTabStop: boolean;
  readonly isHit: boolean;
}

interface ContentProps {
  readonly item: Row;
  readonly measuring: Measuring;
  readonly isSelected: boolean;
}

/** A row of the window, with its place in the tree. */
export const Line = memo(function Line({ item, start, measuring, at, of, isSelected, isHit, isTabStop }: Props) {
  const { kind, depth, open, descendants, message } = item;
  return (
    <div className="row" ref={message ? measuring.watch : undefined} role="treeitem" data-key={item.key} data-kind={message ? "message" : kind}
      data-hit={isHit || undefined} data-apart={start !== undefined || undefined} style={start === undefined ? undefined : { transform: `translateY(${start}px)` }}
      tabIndex={isTabStop ? 0 : -1} aria-level={depth + 1} aria-posinset={at} aria-setsize={of} aria-selected={isSelected}
      aria-expanded={descendants > 0 ? open : undefined}>
      <Content item={item} measuring={measuring} isSelected={isSelected} />
    </div>
  );
});

/** Apart from the row, as that has the number of its siblings, which grows while they come. */
const Content = memo(function Content({ item, measuring, isSelected }: ContentProps) {
  const { kind, message } = item;
  return (
    <Fault what="this row" of={item}>
      {message ? <Message item={item} isSelected={isSelected} />
        : kind === "step" ? <StepRow item={item} isSelected={isSelected} measuring={measuring} />
        : kind === "run" ? <RunRow item={item} isSelected={isSelected} />
        : <AttemptRow item={item} />}
    </Fault>
  );
});
