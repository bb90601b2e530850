import { memo, useCallback, useLayoutEffect, useRef, useSyncExternalStore } from "react";
import type { Row } from "stepwire";
import { useStep } from "stepwire/react";
import { useSession } from "../app/session";
import { gist } from "../app/words";
import { Progress, Usage } from "../content";
import { Icon, iconOf } from "../design/Icon";
import { Beside } from "./Beside";
import { useOpenState, useTrace } from "./context";
import { isPassedOn } from "./find";
import { Indent } from "./Indent";
import type { Measuring } from "./measuring";
import { Texts } from "./Texts";
import { spanOfStep } from "./times";
import { Took } from "./Took";

/** A step as one line, and below it, if that is open, what it shows. */
export function StepRow({ item, isSelected, measuring }: { readonly item: Row; readonly isSelected: boolean; readonly measuring: Measuring }) {
  const { key, id, depth, descendants, errors } = item;
  const step = useStep(id);
  const { select, hasBars } = useTrace();
  const { store } = useSession();
  const open = useOpenState();
  const hasMore = useHasMore(id);
  const article = useRef<HTMLElement>(null);
  const hasChildren = descendants > 0;
  const isBodyOpen = step !== undefined && open.isBodyOpen(step, hasChildren, hasMore || !step.disable_feedback);
  const wasLine = useRef(false);
  useLayoutEffect(() => {
    if (wasLine.current && isBodyOpen) measuring.wasLine(key);
    wasLine.current = !isBodyOpen;
    if (isBodyOpen) return measuring.watch(article.current!.parentElement);
    measuring.isLine(key);
    return undefined;
  }, [isBodyOpen, measuring, key]);
  if (!step) return null;
  const { name, type, status, error, tags, from_attempt, progress } = step;
  const isPassed = errors > 0 && isPassedOn(store, step);
  const isRunning = status === "running";
  const isOpen = hasChildren ? item.open : isBodyOpen;
  return (
    <article ref={article} className="step" data-step-id={id} data-type={type} data-status={status} data-parent={step.parent_id} data-selected={isSelected || undefined}>
      <div className="line" onClick={() => select(id)}>
        <Indent depth={depth} />
        <button type="button" className="toggle" tabIndex={-1} aria-label={`${isOpen ? "Close" : "Open"} ${name || type}`} aria-expanded={isOpen}
          onClick={(event) => {
            event.stopPropagation();
            open.set(id, !isOpen);
          }}>
          <Icon name="open" />
        </button>
        <span className="line-type" data-type={type} title={type}><Icon name={iconOf(type)} /></span>
        <span className="line-name">{name || "unnamed"}</span>
        <StatusMark status={status} />
        {!item.open && hasChildren && <span className="chip">{descendants.toLocaleString()} below</span>}
        {errors > 0 && <span className="chip errors" data-status="error"><Icon name="error" />{errors.toLocaleString()}<span className="visually-hidden"> failed below</span></span>}
        {tags.map((tag, at) => <span className="chip tag" key={at}>{String(tag)}</span>)}
        {from_attempt != null && <span className="chip reused">result of attempt {from_attempt}</span>}
        <Usage stepId={id} />
        {progress && status === "running" && <Progress progress={progress} />}
        {error && <span className={isPassed ? "line-error passed" : "line-error"} title={error.message}>{isPassed ? "passed on: " : `${error.type}: `}{gist(error.message)}</span>}
        <Preview text={isBodyOpen ? "" : gist(step.output, isRunning)} />
        <Took runId={step.run_id} of={(within, now) => spanOfStep(within, step, now)} status={status} isRunning={isRunning} hasBar={hasBars} />
      </div>
      {isBodyOpen && (
        <div className="body" style={{ "--depth": Math.min(depth, 12) } as React.CSSProperties}>
          <Texts step={step} />
          <Beside step={step} />
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

/** One line of what comes out. */
const Preview = memo(function Preview({ text }: { readonly text: string }) {
  return <span className="preview">{text}</span>;
});

/** Whether something stands with a step: elements, or questions. */
function useHasMore(id: string): boolean {
  const { store } = useSession();
  const subscribe = useCallback((listener: () => void) => {
    const leave = [store.subscribe(`elements:${id}`, listener), store.subscribe(`asks:${id}`, listener)];
    return () => leave.forEach((each) => each());
  }, [store, id]);
  return useSyncExternalStore(subscribe, () => store.elements(id).length + store.asks(id).length > 0);
}
