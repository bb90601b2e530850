"""Events of a session as events of AG-UI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from stepwire_gateway.faces.agui import conversation, tree
from stepwire_gateway.faces.agui.attaching import Shows, catch_up, left_open, stay
from stepwire_gateway.faces.agui.endings import ending_of, finished, interrupted
from stepwire_gateway.faces.agui.retelling import Retelling, is_over
from stepwire_gateway.faces.agui.teller import DELTA, Teller

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stepwire_core.wire.documents import Document
    from stepwire_gateway.faces.agui.attaching import CameBack
    from stepwire_gateway.faces.agui.endings import Ending
    from stepwire_gateway.faces.agui.teller import AgUiClient
    from stepwire_gateway.faces.events import FaceEvent

STREAM_ENDED: Final = "stream_ended"
"""The code of a ``RUN_ERROR`` that ends a stream, and not its run."""

RESYNC: Final = "resync"
"""The same where a client has come back with a cursor from which no way leads on."""

MAX_QUESTION: Final = 2_000
"""Characters of a question that its interrupt repeats."""


class AgUiMapping:
    """What one client is told: of one run (``target``) and all that it starts, or, with None, of a
    whole session until nothing in it is under way; with ``follows`` also beyond that.

    A client that attaches is told the conversation at once (``MESSAGES_SNAPSHOT``), where what it
    has is not the beginning of it, then the tree (``STATE_SNAPSHOT``), and what is under way is
    opened again. So what follows leads to the same, wherever a client attaches. ``missed`` are the
    events between the cursor that a client comes back with and now, None if it comes with none.

    When the handler asks, the run is over for the client: as ``interrupt``, or, where the ask is a
    call of one of the client's own tools, as a finished one with a pending call; not for asks that
    are ``settled``.
    """

    def __init__(
        self,
        client: AgUiClient,
        target: str | None,
        *,
        follows: bool = False,
        settled: frozenset[str] = frozenset(),
        came_back: CameBack | None = None,
    ) -> None:
        self.over = False
        self._teller = Teller(client, is_running=came_back is not None)
        self._tools = client.tools
        self._called = {
            call["id"] for message in client.messages for call in message.get("toolCalls") or ()
        }
        self._target = target
        self._follows = follows
        self._settled = settled
        self._came_back = came_back
        self._retelling: Retelling | None = None
        self._under_way: set[str] = set()
        self._asks: dict[str, Document] = {}
        """Open ones."""
        self._activities: dict[str, str] = {}
        """Elements that the client was told of, each with its step."""
        self._customs: dict[str, Document] = {}
        """Elements that may ask."""
        self._questions: dict[str | None, tuple[str, str]] = {}
        """The last message of each run: the id of its step, and its text."""
        self._handlers: Final[Mapping[str, Callable[[Document], None]]] = {
            "run.start": self._run_start,
            "run.update": self._run_update,
            "run.end": self._run_end,
            "step.start": self._step_start,
            "step.delta": self._step_delta,
            "step.update": self._step_update,
            "step.end": self._step_end,
            "step.remove": self._step_remove,
            "element.add": self._element_add,
            "element.remove": self._element_remove,
            "ask": self._ask,
            "ask.end": self._ask_end,
        }

    @property
    def is_stale(self) -> bool:
        """Whether the client has something that no event can change: a snapshot is to be retold."""
        return self._teller.is_stale

    def opened(self) -> bytes:
        """The first frames of a stream that begins before its run."""
        self._teller.begin()
        return self._teller.frames(None)

    def tell(self, event: FaceEvent) -> bytes:
        if event.is_retold:
            if self._retelling is None:
                self._retelling = Retelling()
            self._retelling.take(event)
            return b""
        if (handle := self._handlers.get(event.type)) is not None:
            handle(event.data)
            if self._target is None and self._teller.is_running and self._is_quiet():
                # The event belongs to no run.
                self._finish(finished())
        return self._teller.frames(event.cursor)

    def retold(self) -> bytes:
        retelling, self._retelling = self._retelling or Retelling(), None
        teller, came_back = self._teller, self._came_back
        self._came_back = None
        was_running = teller.is_running
        was_open = [id_ for id_, shown in teller.steps.items() if shown.is_open]
        if came_back is not None:
            if (told := left_open(teller, retelling, came_back)) is None:
                self._fail("what has happened since then is not known any more", RESYNC)
                return teller.frames(None)
            was_open = told
        if came_back is not None and came_back.cursor == retelling.cursor:
            stay(teller, retelling)
        else:
            shows = Shows(self._target is None, self._shows)
            catch_up(teller, retelling, shows, was_open=was_open)
        self._note(retelling)
        if self._asks:
            self._pause()
        elif (ending := self._ending(retelling, was_running=was_running)) is not None:
            self._finish(ending)
        return teller.frames(retelling.cursor)

    def left(self) -> bytes:
        if not self._teller.is_running:
            return b""
        self._fail("the stream has ended before its run", STREAM_ENDED)
        # Without an id: a client that comes back with its last one goes on from there.
        return self._teller.frames(None)

    def _note(self, retelling: Retelling) -> None:
        """What of a snapshot is needed to understand what comes."""
        self._under_way = retelling.under_way()
        self._asks = {id_: ask for id_, ask in retelling.asks.items() if self._waits_for(ask)}
        self._activities = {
            id_: element["step_id"]
            for id_, element in retelling.elements.items()
            if self._shows(element)
        }
        self._customs = {
            id_: element
            for id_, element in retelling.elements.items()
            if element["type"] == "custom"
        }
        for ask in self._asks.values():
            if (step := retelling.steps.get(ask["step_id"])) is not None:
                self._questions[ask["id"]] = (ask["step_id"], step["output"][:MAX_QUESTION])

    def _ending(self, retelling: Retelling, *, was_running: bool) -> Ending | None:
        """How the run that a snapshot shows has ended; None: it goes on."""
        if self._target is not None:
            run = retelling.runs.get(self._target)
            ended = run is not None and is_over(run)
            return ending_of(run, self._teller.dialect) if run is not None and ended else None
        if not self._is_quiet():
            return None
        last = retelling.last_run()
        # A run that had ended before this client came has been told to others.
        return ending_of(last, self._teller.dialect) if was_running and last else finished()

    def _is_quiet(self) -> bool:
        """Whether nothing is under way in the session. A step outside of all runs may never end: a
        client that does not follow does not wait for it."""
        return not self._under_way and (self._teller.is_idle or not self._follows)

    def _finish(self, ending: Ending) -> None:
        self._teller.end(ending)
        self.over = not self._follows

    def _fail(self, message: str, code: str) -> None:
        self._teller.fail(f"{message}: run again with the same runId to go on", code)
        self.over = True

    # -- runs -----------------------------------------------------------------------------------

    def _run_start(self, run: Document) -> None:
        self._under_way.add(run["run_id"])
        old = run.get("retry_of")
        if self._target is None and old is not None:
            # It takes the place of what the client has been told of the other one.
            self._teller.is_stale |= any(
                shown.run_id == old and shown.form != "person"
                for shown in self._teller.steps.values()
            )
        self._teller.put("runs", run["run_id"], run)

    def _run_update(self, run: Document) -> None:
        self._teller.put("runs", run["run_id"], run)

    def _run_end(self, run: Document) -> None:
        self._teller.put("runs", run["run_id"], run)
        if run["will_retry"]:
            return
        self._under_way.discard(run["run_id"])
        is_last = self._is_quiet() if self._target is None else run["run_id"] == self._target
        if is_last:
            self._finish(ending_of(run, self._teller.dialect))

    # -- steps ----------------------------------------------------------------------------------

    def _step_start(self, step: Document) -> None:
        teller, id_ = self._teller, step["id"]
        shown = teller.show(step)
        teller.put("steps", id_, tree.node(step))
        if shown.form == "person":
            if step["attempt"] == 0 and step["run_id"] is not None:
                self._under_way.add(step["run_id"])
            if teller.is_known(step):
                return
        if not shown.is_open:
            teller.open(step)

    def _step_delta(self, delta: Document) -> None:
        shown = self._teller.steps.get(delta["id"])
        if shown is None:
            return
        match shown.form, delta["field"]:
            case "step" | "subagent", _:
                self._teller.say("CUSTOM", name=DELTA, value=delta)
            case ("text", "output") | ("tool", "input"):
                if delta.get("replace") or not shown.is_open:
                    self._teller.is_stale = True
                elif shown.form == "text":
                    self._teller.content(delta["id"], delta["text"])
                else:
                    self._teller.arguments(delta["id"], delta["text"])

    def _step_update(self, step: Document) -> None:
        teller, id_ = self._teller, step["id"]
        shown = teller.change(step)
        if shown.form == "text":
            teller.whole_content(step)
        elif shown.form == "tool":
            teller.whole_arguments(step)
            if not shown.is_open:
                teller.new_result(step)
        teller.put("steps", id_, tree.node(step))

    def _step_end(self, step: Document) -> None:
        teller, id_ = self._teller, step["id"]
        shown = teller.change(step)
        if not shown.is_open:
            self._step_update(step)
            return
        if shown.form == "text":
            teller.whole_content(step)
            self._questions[step["run_id"]] = (id_, step["output"][:MAX_QUESTION])
        elif shown.form == "tool":
            teller.whole_arguments(step)
        teller.close(id_, step)
        teller.put("steps", id_, tree.node(step))

    def _step_remove(self, removal: Document) -> None:
        gone = self._teller.removed(removal["id"])
        self._teller.is_stale |= not gone.isdisjoint(self._activities.values())
        for id_ in [id_ for id_, ask in self._asks.items() if ask["step_id"] in gone]:
            del self._asks[id_]

    # -- elements and asks ----------------------------------------------------------------------

    def _element_add(self, element: Document) -> None:
        if element["type"] == "custom":
            self._customs[element["id"]] = element
        if self._shows(element):
            self._activities[element["id"]] = element["step_id"]
            self._teller.activity(element)

    def _shows(self, element: Document) -> bool:
        """Whether the client is told of it by itself: a person's files are part of their message,
        and what is named like a tool of the client's stands for a call of it."""
        step = self._teller.steps.get(element["step_id"] or "")
        if step is None or step.form == "person" or element["type"] in conversation.BESIDE:
            return False
        return not self._is_call(element)

    def _is_call(self, element: Document) -> bool:
        return element["type"] == "custom" and element["name"] in self._tools

    def _element_remove(self, removal: Document) -> None:
        self._customs.pop(removal["id"], None)
        self._teller.is_stale |= self._activities.pop(removal["id"], None) is not None

    def _ask(self, ask: Document) -> None:
        self._teller.put("asks", ask["id"], ask)
        if self._waits_for(ask):
            self._asks[ask["id"]] = ask
            self._pause()

    def _waits_for(self, ask: Document) -> bool:
        return ask["status"] == "open" and ask["id"] not in self._settled

    def _ask_end(self, ask: Document) -> None:
        self._asks.pop(ask["id"], None)
        self._teller.put("asks", ask["id"], ask)

    def _pause(self) -> None:
        """The handler waits: the client runs again with the answer."""
        calls: list[str] = []
        questions: list[Document] = []
        for ask in self._asks.values():
            element = self._customs.get(ask["element_id"] or "")
            if element is not None and self._is_call(element):
                calls.append(ask["id"])
                self._call(ask["id"], element)
            else:
                questions.append(ask)
        said = dict(self._questions.values())
        self._finish(interrupted(questions, calls, said, self._teller.dialect))

    def _call(self, ask_id: str, element: Document) -> None:
        """An element that asks, of the name of one of the client's tools, is a call of it."""
        if ask_id in self._called:
            return
        self._called.add(ask_id)
        say = self._teller.say
        say("TOOL_CALL_START", toolCallId=ask_id, toolCallName=element["name"])
        say("TOOL_CALL_ARGS", toolCallId=ask_id, delta=json.dumps(element["props"]))
        say("TOOL_CALL_END", toolCallId=ask_id)
