import { memo } from "react";
import { useAsks, useElements, useStep, useStepText, useStore } from "stepwire/react";
import { gist } from "../app/words";
import { Elements, Progress, Usage } from "../content";
import { Icon, iconOf } from "../design/Icon";
import { Feedback, MessageActions, Question } from "../talk";
import { Bar } from "./Bar";
import { useOpenState, useTrace } from "./context";
import { Duration } from "./Duration";
import { Indent } from "./Indent";
import type { Item } from "./items";
import { Marked } from "./Marked";
import { Texts } from "./Texts";
import { spanOfStep } from "./times";

/** A step as one line, and below it, if that is open, what it shows. */
export function StepRow({ item, isSelected }: { readonly item: Item; readonly isSelected: boolean }) {
  const { id, depth, descendants, errors } = item;
  const step = useStep(id);
  const { select, words, hasBars } = useTrace();
  const open = useOpenState();
  const elements = useElements(id);
  const asks = useAsks(id);
  const isCause = useStore("rows", (store) => errors === 0 || !store.children(id).some((one) => sameError(store.step(one.id)?.error, store.step(id)?.error)));
  if (!step) return null;
  const { name, type, status, error, tags, from_attempt, progress } = step;
  const hasChildren = descendants > 0;
  const isBodyOpen = open.isBodyOpen(step, hasChildren, elements.length + asks.length > 0);
  const isOpen = hasChildren ? item.open : isBodyOpen;
  return (
    <article className="step" data-step-id={id} data-type={type} data-status={status} data-parent={step.parent_id} data-selected={isSelected || undefined}>
      <div className="line" onClick={() => select(item.key)}>
        <Indent depth={depth} />
        <button type="button" className="toggle" tabIndex={-1} aria-label={`${isOpen ? "Close" : "Open"} ${name || type}`} aria-expanded={isOpen}
          onClick={(event) => {
            event.stopPropagation();
            open.set(id, !isOpen);
          }}>
          <Icon name="open" />
        </button>
        <span className="line-type" data-type={type} title={type}><Icon name={iconOf(type)} /></span>
        <span className="line-name" id={`name-${item.key}`}><Marked text={name || "unnamed"} words={words} /></span>
        <StatusMark status={status} />
        {!item.open && hasChildren && <span className="chip">{descendants.toLocaleString()} below</span>}
        {errors > 0 && <span className="chip errors" data-status="error"><Icon name="error" />{errors.toLocaleString()}<span className="visually-hidden"> failed below</span></span>}
        {tags.map((tag, at) => <span className="chip tag" key={at}>{String(tag)}</span>)}
        {from_attempt !== null && <span className="chip reused">result of attempt {from_attempt}</span>}
        <Usage stepId={id} />
        {progress && <Progress progress={progress} />}
        {error && <span className={isCause ? "line-error" : "line-error passed"} title={error.message}>{isCause ? `${error.type}: ` : "passed on: "}{gist(error.message)}</span>}
        {!isBodyOpen && <Preview id={id} isRunning={status === "running"} />}
        <Duration of={(store, now) => spanOfStep(store, step, now)} isRunning={status === "running"} />
        {hasBars && <Bar runId={step.run_id} of={(store, now) => spanOfStep(store, step, now)} isRunning={status === "running"} status={status} />}
      </div>
      {isBodyOpen && (
        <div className="body" style={{ "--depth": Math.min(depth, 12) } as React.CSSProperties}>
          <Texts step={step} />
          <Elements stepId={id} />
          <Question stepId={id} />
          <MessageActions stepId={id} />
          {!step.disable_feedback && <Feedback stepId={id} />}
        </div>
      )}
    </article>
  );
}

export function StatusMark({ status }: { readonly status: string }) {
  return (
    <span className="status-mark" data-status={status} title={status}>
      <Icon name={iconOf(status)} turning={status === "running"} /><span className="visually-hidden">{status}</span>
    </span>
  );
}

/** One line of what comes out, which renders alone while that streams. */
const Preview = memo(function Preview({ id, isRunning }: { readonly id: string; readonly isRunning: boolean }) {
  const output = useStepText(id);
  const { words } = useTrace();
  return <span className="preview"><Marked text={gist(output, isRunning)} words={words} /></span>;
});

function sameError(one: { type: string; message: string } | null | undefined, other: { type: string; message: string } | null | undefined): boolean {
  return Boolean(one && other && one.message === other.message && one.type === other.type);
}
