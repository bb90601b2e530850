"""What happens in the golden vectors: one story for each thing that a client has to get right."""

from __future__ import annotations

from typing import Any, Final

from documents import a_run, a_step, an_element
from stepwire_core.wire.choices.settings_form import own_element, own_element_id
from stepwire_core.wire.documents import (
    AskDocument,
    FeedbackDocument,
    RunDocument,
    StepActionDocument,
    StepDocument,
)
from stepwire_core.wire.events import (
    NewEvent,
    action_event,
    action_remove_event,
    ask_end_event,
    ask_event,
    delta_event,
    element_event,
    element_remove_event,
    feedback_event,
    new_step_event,
    remove_event,
    result_event,
    run_end_event,
    run_start_event,
    run_update_event,
    step_event,
    step_result_event,
    user_value_event,
)
from vectors.record import SESSION, Author, Recorder, Story

RUN: Final = Author("r1", 1)


def a_run_at(at: str, run_id: str = "r1", status: str = "running", **fields: Any) -> RunDocument:
    times = {"started_at": "2026-11-22T19:00:00.000Z", "ts": at}
    if status != "running":
        times["ended_at"] = at
    return a_run(run_id, status, **(times | fields))


def a_step_at(at: str, step_id: str, **fields: Any) -> StepDocument:
    known = {"run_id": "r1", "attempt": 1, "started_at": at, "ts": at}
    return a_step(SESSION, step_id, **(known | fields))


def start(story: Recorder, step_id: str, parent: str | None = None, **fields: Any) -> NewEvent:
    step = a_step_at(story.now(), step_id, parent_id=parent, **fields)
    return step_event("step.start", step)


def update(story: Recorder, step_id: str, parent: str | None = None, **fields: Any) -> NewEvent:
    step = a_step_at(story.now(), step_id, parent_id=parent, **fields)
    return step_event("step.update", step)


def end(story: Recorder, step_id: str, parent: str | None = None, **fields: Any) -> NewEvent:
    at = story.now()
    known = {"parent_id": parent, "status": "ok", "ended_at": at}
    return step_event("step.end", a_step_at(at, step_id, **(known | fields)))


def element(story: Recorder, element_id: str, step_id: str | None, **fields: Any) -> NewEvent:
    url = f"/v1/sessions/{SESSION}/elements/{element_id}"
    known = {"step_id": step_id, "url": url, "ts": story.now()}
    return element_event(an_element(SESSION, element_id, **(known | fields)))


def an_ask(story: Recorder, ask_id: str, step_id: str, **fields: Any) -> AskDocument:
    at = story.now()
    known = {
        "id": ask_id,
        "session_id": SESSION,
        "run_id": "r1",
        "attempt": 1,
        "step_id": step_id,
        "kind": "text",
        "expires_at": "2026-11-22T19:05:00.000Z",
        "started_at": at,
        "ts": at,
    }
    return AskDocument.model_validate(known | fields)


def rating(
    story: Recorder, step_id: str, value: int | None, comment: str | None = None
) -> NewEvent:
    feedback = FeedbackDocument(step_id=step_id, value=value, comment=comment, ts=story.now())
    return feedback_event(feedback)


def a_message(story: Recorder, step_id: str, text: str, **fields: Any) -> tuple[NewEvent, NewEvent]:
    """A message of a person: it starts and ends at once."""
    at = story.now()
    known = {"type": "user_message", "name": "User", "attempt": 0, "output": text}
    step = a_step_at(at, step_id, **(known | fields))
    ended = step.model_copy(update={"status": "ok", "ended_at": at})
    return new_step_event(step), step_event("step.end", ended)


async def nested_steps(story: Recorder) -> None:
    """Steps nest by parent_id and stand in the order of their start; a parent may come after its
    child."""
    await story.put(run_start_event(a_run_at(story.now())), by=RUN)
    await story.put(
        *(start(story, "agent"), start(story, "plan", "agent"), start(story, "search", "plan")),
        *(start(story, "late-child", "other"), start(story, "other", "agent")),
        *(end(story, "search", "plan", output="found"), end(story, "plan", "agent")),
        *(start(story, "write", "agent", type="llm"), end(story, "write", "agent", type="llm")),
        end(story, "agent", status="error", error={"type": "ValueError", "message": "no"}),
        by=RUN,
    )
    await story.put(run_end_event(a_run_at(story.now(), status="ok")), by=RUN)


async def streamed_text(story: Recorder) -> None:
    """Text comes in pieces, is put in place as a whole, and is in the end of its step; input and
    output are apart, and a piece of a step that is not there changes nothing."""
    await story.put(
        start(story, "a", type="llm"),
        start(story, "b"),
        *(delta_event("a", piece) for piece in ("Hel", "lo ", '"quoted"\n', "ä€😀", "")),
        delta_event("a", "in", field="input"),
        delta_event("b", "other"),
        delta_event("a", "y" * 200),
        delta_event("a", "new", replace=True),
        delta_event("a", " text"),
        delta_event("a", "put", field="input", replace=True),
        end(story, "a", type="llm", input="put", output="new text"),
        delta_event("a", " after the end"),
        by=RUN,
    )


async def updates(story: Recorder) -> None:
    """An update replaces the whole step, also one that has ended, and may move it; it keeps its
    place in the order."""
    await story.put(
        *(start(story, "a"), start(story, "b"), start(story, "c", "a")),
        delta_event("c", "streamed"),
        update(story, "c", "b", name="renamed", output="streamed", tags=["x"]),
        delta_event("c", " on"),
        end(story, "c", "b", name="renamed", output="streamed on", metadata={"tokens": 3}),
        update(story, "a", show_input="json", input="{}"),
        update(story, "b", progress={"done": 1, "total": None, "text": "files"}),
        update(story, "b", progress={"done": 2.5, "total": 2, "text": None}),
        by=RUN,
    )


async def removed_steps(story: Recorder) -> None:
    """A removed step goes with all below it, and what comes late does not bring it back; a new
    start does, at the end of the order."""
    await story.put(
        *(start(story, "a"), start(story, "b", "a"), start(story, "c", "b"), start(story, "d")),
        delta_event("c", "text"),
        element(story, "image", "c"),
        ask_event(an_ask(story, "question", "b")),
        rating(story, "b", 1),
        rating(story, "d", 0),
        remove_event("a"),
        by=RUN,
    )
    await story.keep(
        *(end(story, "c", "b"), delta_event("c", "late"), element(story, "late", "c")), by=RUN
    )
    await story.put(*(start(story, "a"), start(story, "b", "a"), end(story, "b", "a")), by=RUN)
    await story.put(start(story, "waits", "nowhere"), remove_event("nowhere"), by=RUN)


async def elements(story: Recorder) -> None:
    """Elements stand with their step or message, uploads with none until they are sent; one that
    moves keeps its place in the order."""
    await story.put(*(element(story, name, None, run_id=None) for name in ("one", "two", "three")))
    await story.put(*a_message(story, "message", "see these", elements=["two", "one"]))
    await story.put(element(story, "two", "message"), element(story, "one", "message"))
    await story.put(
        start(story, "a", "message"),
        element(story, "plot", "a", run_id="r1", type="plotly", props={"size": "large"}),
        element(story, "link", "a", run_id="r1", size=None, sha256=None, url="https://x.test/"),
        element_remove_event("plot"),
        by=RUN,
    )
    await story.put(element(story, "early", "later", run_id="r1"), start(story, "later"), by=RUN)
    await story.put(element_remove_event("three"))
    await story.put(remove_event("message"))


async def asks(story: Recorder) -> None:
    """An ask stands with the message that asks, and ends once; the answer of a person is a message
    below it."""
    await story.put(start(story, "asks", type="assistant_message", output="Name?"), by=RUN)
    text, action = an_ask(story, "text", "asks"), an_ask(story, "action", "asks", kind="action")
    buttons = [{"id": "e7", "name": "yes", "label": "Yes!", "payload": {"value": 1}}]
    action = AskDocument.model_validate(action.model_dump() | {"actions": buttons})
    await story.put(ask_event(text), ask_event(action), by=RUN)
    at = story.now()
    answer = {"id": "answer", "message_id": "answer"}
    ended = {"status": "answered", "answer": answer, "ended_at": at, "ts": at}
    message = a_message(story, "answer", "Ada", parent_id="asks")
    answered = ask_end_event(AskDocument.model_validate(text.model_dump() | ended))
    await story.put(*message)
    await story.answer(answered, ask="text")
    over = {"status": "timeout", "ended_at": story.now()}
    late = ask_end_event(AskDocument.model_validate(action.model_dump() | over))
    await story.put(late, by=RUN)
    await story.keep(late, by=RUN)


async def beside_the_steps(story: Recorder) -> None:
    """A form, a profile and a sidebar stand with no step, each once; an element in the sidebar may
    have a step or none; an element asks, and its answer is what it submits."""

    def own(type_: str, name: str, /, **props: Any) -> NewEvent:
        document = own_element(SESSION, type_, name, props, run_id="r1")
        return element_event(document.model_copy(update={"ts": story.now()}))

    inputs = [{"type": "textinput", "id": "name", "label": "Name", "initial": None}]
    profile = own("chat_profile", "deep", name="deep")
    await story.put(profile, own("settings", "chat_settings", inputs=inputs, values={}), by=RUN)
    await story.put(start(story, "asks", type="assistant_message", output="Where?"), by=RUN)
    form = an_element(SESSION, "form", step_id="asks", type="custom", ts=story.now())
    note = an_element(SESSION, "note", step_id=None, run_id="r1", ts=story.now())
    await story.put(element_event(form), element_event(note), by=RUN)
    await story.put(own("sidebar", "sidebar", title="Notes", elements=["note", "form"]), by=RUN)
    ask = an_ask(story, "where", "asks", kind="element")
    ask = AskDocument.model_validate(ask.model_dump() | {"element_id": "form"})
    await story.put(ask_event(ask), by=RUN)
    await story.put(own("settings", "chat_settings", inputs=inputs, values={"name": "Ada"}))
    at = story.now()
    answer = {"id": "answer", "submission": {"submitted": True, "props": {"city": "Rome"}}}
    ended = {"status": "answered", "answer": answer, "ended_at": at, "ts": at}
    over = ask_end_event(AskDocument.model_validate(ask.model_dump() | ended))
    await story.answer(over, ask="where")
    await story.put(element_remove_event("form"), by=RUN)
    await story.put(element_remove_event(own_element_id(SESSION, "sidebar")), by=RUN)
    await story.put(end(story, "asks", type="assistant_message", output="Where?"), by=RUN)


async def feedback(story: Recorder) -> None:
    """A rating replaces the one before, and null takes it back; given anew, it comes last."""
    await story.put(start(story, "a", disable_feedback=False), start(story, "b"), by=RUN)
    await story.put(
        *(rating(story, "a", 1), rating(story, "b", 0, "no"), rating(story, "a", 0, "worse")),
        *(rating(story, "a", None), rating(story, "a", 1, "after all")),
    )
    await story.put(update(story, "a", name="renamed"), by=RUN)


def button(story: Recorder, action_id: str, step_id: str, label: str) -> NewEvent:
    fields = {"id": action_id, "name": "go", "label": label, "payload": {"to": label}}
    ids = {"session_id": SESSION, "run_id": "r1", "step_id": step_id, "ts": story.now()}
    return action_event(StepActionDocument.model_validate(fields | ids))


async def actions(story: Recorder) -> None:
    """Actions stand with their step in the order of their first event; one is replaced, one moves
    to another step, one is removed, and those of a removed step go with it."""
    await story.put(start(story, "a"), start(story, "b"), start(story, "below", "b"), by=RUN)
    await story.put(
        *(button(story, "one", "a", "1"), button(story, "two", "a", "2")),
        *(button(story, "three", "below", "3"), button(story, "moves", "b", "4")),
        *(button(story, "one", "a", "again"), button(story, "moves", "a", "4")),
        by=RUN,
    )
    await story.put(action_remove_event("two"), action_remove_event("never-there"), by=RUN)
    await story.put(remove_event("b"), by=RUN)


async def user_session(story: Recorder) -> None:
    """Values of the user session and results of runs reach no client and take no id."""
    await story.put(start(story, "a"), by=RUN)
    await story.keep(user_value_event("name", '"Ada"'), result_event("r1", '{"value":1}'), by=RUN)
    await story.keep(user_value_event("name", ""), by=RUN)
    await story.put(end(story, "a"), by=RUN)


async def usage(story: Recorder) -> None:
    """A run has the sum of what its steps have used, also of those that were removed; the session
    has that of its runs, and of the steps outside of runs that are there."""
    used = {"input_tokens": 10, "output_tokens": 4, "cost": 0.1, "model": "small"}
    some = {"input_tokens": 3, "output_tokens": None, "cost": 0.2, "model": None}
    await story.put(run_start_event(a_run_at(story.now())), by=RUN)
    await story.put(start(story, "a", type="llm"), end(story, "a", type="llm", usage=used), by=RUN)
    total: dict[str, Any] = {"input_tokens": 10, "output_tokens": 4, "cost": 0.1}
    await story.put(run_update_event(a_run_at(story.now(), usage=total)), by=RUN)
    await story.put(start(story, "b"), update(story, "b", usage=some), by=RUN)
    total = {"input_tokens": 13, "output_tokens": 4, "cost": 0.3}
    await story.put(run_update_event(a_run_at(story.now(), usage=total)), remove_event("a"), by=RUN)
    outside: dict[str, Any] = {"run_id": None, "attempt": 0, "usage": used}
    await story.put(start(story, "out", **outside), end(story, "out", **outside))
    await story.put(run_end_event(a_run_at(story.now(), status="ok", usage=total)), by=RUN)
    await story.put(remove_event("out"))


async def attempts_and_tasks(story: Recorder) -> None:
    """A run that fails is tried again under its id; a durable step of its first attempt gives its
    result to the second; a task that it starts is a run of its own."""
    await story.put(*a_message(story, "message", "go"))
    await story.put(run_start_event(a_run_at(story.now(), message_id="message")), by=RUN)
    await story.put(
        *(start(story, "first-try", "message"), start(story, "fetch", "first-try")),
        step_result_event("fetch:1", '{"attempt":1,"value":"fetched"}'),
        end(story, "fetch", "first-try", output="fetched"),
        by=RUN,
    )
    failed: dict[str, Any] = {
        "error": {"type": "OSError", "message": "gone"},
        "message_id": "message",
    }
    await story.put(
        end(story, "first-try", "message", status="interrupted"),
        run_end_event(a_run_at(story.now(), status="error", will_retry=True, **failed)),
        by=RUN,
    )
    again, task = Author("r1", 2), Author("r2", 1)
    second: dict[str, Any] = {"attempt": 2, "message_id": "message"}
    of_task: dict[str, Any] = {"handler": "part", "parent_run_id": "r1"}
    await story.put(run_start_event(a_run_at(story.now(), **second)), by=again)
    kept: dict[str, Any] = {"attempt": 2, "from_attempt": 1, "output": "fetched"}
    await story.put(
        start(story, "second-try", "message", attempt=2),
        start(story, "fetch-again", "second-try", **kept),
        end(story, "fetch-again", "second-try", **kept),
        by=again,
    )
    await story.put(
        run_start_event(a_run_at(story.now(), "r2", **of_task)),
        start(story, "part", "second-try", run_id="r2"),
        end(story, "part", "second-try", run_id="r2", output="done"),
        run_end_event(a_run_at(story.now(), "r2", "ok", **of_task)),
        by=task,
    )
    await story.put(
        end(story, "second-try", "message", attempt=2),
        run_end_event(a_run_at(story.now(), status="ok", **second)),
        by=again,
    )


async def runs_among_steps(story: Recorder) -> None:
    """Runs and steps stand in one order, that of their first events, whatever their clocks say;
    another attempt keeps the place of its run, and a snapshot tells the place of each."""
    first, second, third = Author("r1", 1), Author("r2", 1), Author("r3", 1)
    task: dict[str, Any] = {"handler": "task"}
    early: dict[str, Any] = task | {"started_at": "2026-11-22T18:00:00.000Z"}
    await story.put(start(story, "before-all", run_id=None, attempt=0))
    await story.put(run_start_event(a_run_at(story.now(), **task)), by=first)
    await story.put(start(story, "a"), by=first)
    await story.put(run_start_event(a_run_at(story.now(), "r2", **early)), by=second)
    await story.put(run_start_event(a_run_at(story.now(), "r3", **task)), by=third)
    await story.put(start(story, "of-r3", run_id="r3"), start(story, "gone", run_id="r3"), by=third)
    await story.put(start(story, "b"), start(story, "late", run_id="r2"), by=first)
    failed = a_run_at(story.now(), status="error", will_retry=True, **task)
    await story.put(remove_event("gone"), by=third)
    await story.put(run_end_event(failed), by=first)
    again = Author("r1", 2)
    await story.put(run_start_event(a_run_at(story.now(), attempt=2, **task)), by=again)
    await story.put(start(story, "c", attempt=2), start(story, "a", attempt=2), by=again)
    await story.lose_the_server()
    await story.put(start(story, "d", attempt=2), remove_event("of-r3"), by=again)
    await story.put(run_start_event(a_run_at(story.now(), "r4", **early)), by=Author("r4", 1))
    await story.put(start(story, "of-r4", run_id="r4"), by=Author("r4", 1))


async def newer_words(story: Recorder) -> None:
    """Event types, statuses, kinds and fields of a newer version: an unknown type changes nothing,
    an unknown word or field of a document is kept as it is."""
    await story.put(run_start_event(a_run_at(story.now(), status="asleep")), by=RUN)
    await story.put(
        start(story, "a", status="paused", mood={"of": ["the", "day"]}),
        NewEvent("put", "mood.set", "z:1", "a", '{"id":"1","step_id":"a","value":[1]}'),
        ask_event(an_ask(story, "signature", "a", kind="signature", status="asked", weight=1)),
        element(story, "model", "a", run_id="r1", type="hologram", display="ceiling"),
        NewEvent("remove", "mood.clear", "z:1", "-", '{"id":"1"}'),
        end(story, "a", status="evaporated", mood={}),
        by=RUN,
    )


async def late_duplicates(story: Recorder) -> None:
    """A repeated call is stored once, and a frame that comes a second time counts once."""
    await story.put(start(story, "a"), by=RUN)
    before = len(story.frames)
    piece = delta_event("a", "once ")
    await story.put(piece, by=RUN)
    await story.repeat(piece, by=RUN)
    assert len(story.frames) == before + 1
    story.hear_again()
    await story.put(delta_event("a", "and no more"), by=RUN)
    story.hear_again()
    await story.put(end(story, "a", output="once and no more"), by=RUN)
    story.hear_again()


async def joined_midway(story: Recorder) -> None:
    """A client that comes later begins with a snapshot, also in the midst of a text; another epoch
    begins with one, too, which replaces everything."""
    await story.put(run_start_event(a_run_at(story.now())), by=RUN)
    await story.put(
        *(start(story, "a"), start(story, "b", "a", type="llm"), element(story, "image", "a")),
        *(delta_event("b", "so "), delta_event("b", "in", field="input")),
        rating(story, "a", 1),
        by=RUN,
    )
    await story.join()
    await story.put(delta_event("b", "far"), delta_event("b", "put", field="input"), by=RUN)
    await story.lose_the_server()
    await story.put(delta_event("b", ", so good"), by=RUN)
    await story.put(delta_event("b", "!"), end(story, "b", "a", output="so far, so good!"), by=RUN)


STORIES: Final[dict[str, Story]] = {
    story.__name__: story
    for story in (
        nested_steps,
        streamed_text,
        updates,
        removed_steps,
        elements,
        asks,
        beside_the_steps,
        feedback,
        actions,
        user_session,
        usage,
        attempts_and_tasks,
        runs_among_steps,
        newer_words,
        late_duplicates,
        joined_midway,
    )
}
