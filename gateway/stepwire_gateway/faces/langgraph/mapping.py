"""Events of a session as events of a thread."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.wire.kinds import RUN_END
from stepwire_core.wire.words import ASSISTANT_MESSAGE, IN_TURN
from stepwire_gateway.faces.events import STEP_START
from stepwire_gateway.faces.langgraph.paths import Paths
from stepwire_gateway.faces.langgraph.transcript import (
    ROLES,
    TOOL,
    arguments,
    call_id,
    outcome,
    result_id,
)
from stepwire_gateway.faces.mapping import data_frame
from stepwire_gateway.faces.told_texts import Texts
from stepwire_gateway.faces.tool_values import problem_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepwire_gateway.faces.events import FaceEvent
    from stepwire_gateway.faces.langgraph.filters import Subscription

Event = dict[str, Any]

_ENDS: Final = {"ok": "completed", "cancelled": "interrupted"}


class LangGraphMapping:
    """A whole session for one subscription.

    Every stream begins with what the session is now: their client opens one anew after each lost
    connection, and drops of it what it knows by ``event_id``. So the states of runs and asks have
    ids that come from them alone. Pieces of messages have none: a message that is told again
    begins with ``message-start``, which empties it at the client, and its end has all of its text.

    ``values`` names the messages, in their order, without their texts, which their client has from
    the channel ``messages``. It keeps by them what a run has said when the next one begins.
    """

    over = False

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._texts = Texts()
        self._paths = Paths()
        self._roles: dict[str, Event] = {}
        """The messages of the thread, in the order in which they have begun."""
        self._results: dict[str, Event] = {}
        """The results of tools, by the messages with their calls, which they stand behind."""
        self._kinds: dict[str, str] = {}
        """The types of the steps."""
        self._open: set[str] = set()
        """The messages whose text streams."""
        self._inputs: dict[str, int] = {}
        """The hashes of the inputs of tools, as they were told."""
        self._later: list[Event] = []
        """Events that are held back until a snapshot has been retold."""
        self._retold_ids: set[str] = set()
        """The steps of the snapshot that is being retold."""
        self._seq = 0
        """Where the log is. Events of one place have the same, so it is not a cursor; their client
        compares it to know what was subscribed to before the end of a run."""
        self._ms = 0
        """When the last document was made that has come."""

    # -- as a mapping ----------------------------------------------------------------------------

    def tell(self, event: FaceEvent) -> bytes:
        events = self.events(event)
        if event.is_retold:
            events = self._but_later(events)
        return self._encoded(events)

    def retold(self) -> bytes:
        # Steps that were removed while the client was behind.
        gone, self._retold_ids = self._kinds.keys() - self._retold_ids, set()
        removals = [event for id_ in gone for event in self._remove(id_)]
        later, self._later = self._later, []
        later.sort(key=lambda event: event["method"] != "lifecycle")
        return self._encoded(iter([*removals, self._values(), *later]))

    def _but_later(self, events: Iterator[Event]) -> Iterator[Event]:
        """Without the state of the run that is under way, by which their client drops what no
        ``values`` has named and what is not whole; and without what is not whole."""
        for event in events:
            is_open = event["params"].get("node") in self._open
            if is_open or event["params"]["data"].get("event") == "running":
                self._later.append(event)
            else:
                yield event

    def left(self) -> bytes | None:
        """Their client comes back after a lost connection."""
        return None

    def _encoded(self, events: Iterator[Event]) -> bytes:
        return b"".join(data_frame(event) for event in events if self._subscription.takes(event))

    # -- events ----------------------------------------------------------------------------------

    def events(self, event: FaceEvent) -> Iterator[Event]:
        """An event as events of the protocol."""
        data, self._seq = event.data, event.cursor.seq
        if event.is_retold and event.type == STEP_START:
            self._retold_ids.add(data["id"])
        if "ts" in data:
            self._ms = int(datetime.fromisoformat(data["ts"]).timestamp() * 1000)
        match event.type:
            case "run.start" | "run.end" if _is_root(data):
                yield from self._run(event)
            case "step.start" | "step.update" | "step.end":
                yield from self._step(data, has_ended=event.has_ended)
            case "step.delta":
                yield from self._delta(data)
            case "step.remove":
                yield from self._remove(data["id"])
            case "ask" | "ask.end":
                yield from self._ask(event)
            case "element.add" | "element.remove" | "action.add" | "action.remove":
                yield self._custom(event.type, data)

    def _event(
        self, method: str, data: Event, namespace: tuple[str, ...] = (), **more: str
    ) -> Event:
        params = {"namespace": list(namespace), "timestamp": self._ms, "data": data}
        if "node" in more:
            params["node"] = more["node"]
        event = {"type": "event", "method": method, "seq": self._seq, "params": params}
        return event if "id" not in more else event | {"event_id": more["id"]}

    def _custom(self, name: str, document: Event, namespace: tuple[str, ...] = ()) -> Event:
        return self._event("custom", {"name": f"stepwire.{name}", "payload": document}, namespace)

    def _values(self) -> Event:
        messages = []
        for id_, role in self._roles.items():
            messages.append({"id": id_} | role)
            if id_ in self._results:
                messages.append(self._results[id_])
        return self._event("values", {"messages": messages})

    def _lifecycle(self, run: Event, state: str, **more: str) -> Event:
        # Their client takes the id of the run from here.
        id_ = f"synth:{run['run_id']}:{state}"
        return self._event("lifecycle", {"event": state, "graph_name": "agent"} | more, id=id_)

    def _run(self, event: FaceEvent) -> Iterator[Event]:
        run = event.data
        if event.type == RUN_END:
            if run["will_retry"]:
                return
            if not event.is_retold:
                yield self._values()
            yield self._run_ended(run)
        elif not event.is_retold or run["ended_at"] is None:
            # Of one that is over, and is retold, the end says all.
            if not event.is_retold:
                yield self._values()
            yield self._lifecycle(run, "running")

    def _ask(self, event: FaceEvent) -> Iterator[Event]:
        ask = event.data
        if event.type == "ask.end":
            answered = {"interrupt_ids": [ask["id"]]}
            yield self._event("input.answered", answered, id=f"{ask['id']}:answered")
        elif ask["status"] == "open":
            asked = {"interrupt_id": ask["id"], "payload": ask}
            yield self._event("input.requested", asked, id=f"{ask['id']}:requested")

    def _run_ended(self, run: Event) -> Event:
        state = _ENDS.get(run["status"], "failed")
        if state != "failed":
            return self._lifecycle(run, state)
        return self._lifecycle(run, state, error=problem_of(run, "run"))

    # -- steps -----------------------------------------------------------------------------------

    def _step(self, step: Event, *, has_ended: bool) -> Iterator[Event]:
        id_, type_ = step["id"], step["type"]
        is_new = id_ not in self._kinds
        self._kinds[id_] = type_
        path = self._paths.put(step)
        if type_ in ROLES:
            yield from self._message(step)
            return
        if is_new:
            begun = {"event": "started", "graph_name": step["name"]}
            yield self._event("lifecycle", begun, path, id=f"{id_}:started")
        if type_ == TOOL:
            yield from self._tool(step, path, has_ended=has_ended)
        if has_ended:
            state = _ENDS.get(step["status"], "failed")
            ended = {"event": state, "graph_name": step["name"]}
            ended |= {"error": outcome(step)} if state == "failed" else {}
            yield self._event("lifecycle", ended, path, id=f"{id_}:{state}")
        yield self._custom("step", step, path)

    def _message(self, step: Event) -> Iterator[Event]:
        id_, text = step["id"], step["output"]
        is_known = id_ in self._roles
        self._roles[id_] = {"type": ROLES[step["type"]], "content": ""}
        # An empty one has only been announced: its text is still to stream.
        is_whole = step["ended_at"] is not None and bool(text)
        missing = self._texts.missing(id_, text, goes_on=not is_whole)
        if is_whole:
            if not is_known or id_ in self._open or missing.text or missing.is_anew:
                self._open.discard(id_)
                yield from self._whole(id_, {"type": "text", "text": text})
            return
        if not is_known or missing.is_anew or id_ not in self._open:
            self._open.add(id_)
            told = text[: self._texts.told(id_)]
            yield from self._begin(id_, told)
        elif missing.text:
            yield self._piece(id_, missing.text)

    def _delta(self, delta: Event) -> Iterator[Event]:
        id_, text = delta["id"], delta["text"]
        kind = self._kinds.get(id_)
        if kind is None:
            return
        if kind != ASSISTANT_MESSAGE or delta["field"] != "output":
            yield self._custom("step.delta", delta, self._paths.of(id_))
        elif id_ not in self._open:
            # After its end: the next document has all of it, and says so.
            return
        elif delta.get("replace"):
            self._texts.missing(id_, text)
            yield from self._begin(id_, text)
        elif piece := self._texts.add(id_, text):
            yield self._piece(id_, piece)

    def _begin(self, id_: str, text: str) -> Iterator[Event]:
        """A message with the text that it has so far; more of it may follow."""
        yield self._start(id_, role=self._roles[id_]["type"])
        block = {"type": "text", "text": text}
        yield self._said(id_, {"event": "content-block-start", "index": 0, "content": block})

    def _start(self, id_: str, **about: str) -> Event:
        return self._said(id_, {"event": "message-start", "id": id_} | about)

    def _whole(self, id_: str, block: Event, **about: str) -> Iterator[Event]:
        """A message from its beginning to its end, whatever the client has of it."""
        yield self._start(id_, **(about or {"role": self._roles[id_]["type"]}))
        yield self._said(id_, {"event": "content-block-finish", "index": 0, "content": block})
        yield self._said(id_, {"event": "message-finish"})

    def _piece(self, id_: str, text: str) -> Event:
        delta = {"type": "text-delta", "text": text}
        return self._said(id_, {"event": "content-block-delta", "index": 0, "delta": delta})

    def _said(self, id_: str, data: Event) -> Event:
        # The node keeps messages apart that stream at the same time.
        return self._event("messages", data, node=id_)

    def _tool(self, step: Event, path: tuple[str, ...], *, has_ended: bool) -> Iterator[Event]:
        id_, given = step["id"], hash(step["input"])
        is_of_thread = len(path) == 1
        if self._inputs.get(id_) != given:
            self._inputs[id_] = given
            if is_of_thread:
                call = {"type": "tool_call", "id": id_, "name": step["name"]}
                self._roles[call_id(id_)] = {"type": "ai", "content": ""}
                yield from self._whole(call_id(id_), call | {"args": arguments(step)})
            begun = {"event": "tool-started", "tool_call_id": id_, "tool_name": step["name"]}
            yield self._event("tools", begun | {"input": arguments(step)}, path)
        if not has_ended:
            return
        if step["status"] == "ok":
            ended = {"event": "tool-finished", "output": value_of(step["output"])}
        else:
            ended = {"event": "tool-error", "message": outcome(step)}
        yield self._event("tools", ended | {"tool_call_id": id_}, path)
        if is_of_thread:
            result = {"id": result_id(id_), "type": "tool", "tool_call_id": id_}
            # Their client takes a call for finished that has a result, and shows this one.
            text = "" if step["status"] == "ok" else outcome(step)
            self._results[call_id(id_)] = result | {"content": text}
            block = {"type": "text", "text": outcome(step)}
            yield from self._whole(result_id(id_), block, role="tool", tool_call_id=id_)

    def _remove(self, id_: str) -> Iterator[Event]:
        gone = {id_, *self._paths.remove(id_)}
        doomed = gone | {call_id(step) for step in gone}
        if doomed & self._roles.keys():
            # Their client removes what was in the one before, and is not in this one.
            yield self._values()
            for message_id in doomed:
                self._roles.pop(message_id, None)
                self._results.pop(message_id, None)
            yield self._values()
        for step_id in gone:
            self._kinds.pop(step_id, None)
            self._open.discard(step_id)
            self._texts.forget(step_id)
            self._inputs.pop(step_id, None)
        yield self._custom("step.remove", {"id": id_})


def _is_root(run: Event) -> bool:
    """Whether it is a run of the thread: those run one after another, each to its end."""
    return run["handler"] in IN_TURN and not run["parent_run_id"]
