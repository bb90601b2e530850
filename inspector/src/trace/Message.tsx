import type { Row } from "stepwire";
import { usePending, useStep } from "stepwire/react";
import { useSession } from "../app/session";
import { timeOfDay } from "../app/words";
import { Progress, Usage } from "../content";
import { Icon, iconOf } from "../design/Icon";
import { Beside } from "./Beside";
import { useTrace } from "./context";
import { Indent } from "./Indent";
import { StatusMark } from "./StepRow";
import { Texts } from "./Texts";

/** A message of the conversation, with what stands with it. */
export function Message({ item, isSelected }: { readonly item: Row; readonly isSelected: boolean }) {
  const { id, depth, errors } = item;
  const step = useStep(id);
  const session = useSession();
  const pending = usePending(id);
  const { select } = useTrace();
  if (!step) return null;
  const { name, type, status, error, started_at } = step;
  return (
    <div className="message-row">
      <Indent depth={depth} />
      <article className="message" data-step-id={id} data-type={type} data-status={status} data-parent={step.parent_id} data-selected={isSelected || undefined}
        data-pending={pending?.state}>
        <header className="message-head" onClick={() => select(id)}>
          <Icon name={iconOf(type)} />
          <span className="line-name">{name || "unnamed"}</span>
          <time dateTime={started_at}>{timeOfDay(started_at)}</time>
          {status !== "ok" && !pending && <StatusMark status={status} />}
          {pending && <span className="chip">{pending.state === "sending" ? "sending" : "not sent"}</span>}
          {errors > 0 && <span className="chip errors" data-status="error"><Icon name="error" />{errors.toLocaleString()}<span className="visually-hidden"> failed below</span></span>}
          <Usage stepId={id} />
        </header>
        <div className="body">
          {step.progress && status === "running" && <Progress progress={step.progress} />}
          <Texts step={step} />
          {error && <p className="problem"><strong>{error.type}</strong>{error.message !== step.output && ` ${error.message}`}</p>}
          {pending?.error && (
            <p className="problem" role="alert">
              {pending.error.message} <button type="button" className="button quiet" onClick={() => session.store.discard(id)}>Discard</button>
            </p>
          )}
          <Beside step={step} />
        </div>
      </article>
    </div>
  );
}
