"""Test your handlers in process: no server, no worker, no gateway.

In ``conftest.py``::

    pytest_plugins = ["stepwire.testing"]

In a test (with anyio's or asyncio's pytest plugin)::

    import app  # your handlers

    async def test_the_agent_searches_before_it_answers(stepwire_app):
        run = await stepwire_app.message("What is stepwire?")
        assert run.status == "ok"
        agent = stepwire_app.tree["agent"]
        assert [step.name for step in agent.children] == ["search", "answer"]
        assert agent["search"].output == "2 hits"

What your handlers ask is answered by what the test has put down before::

    stepwire_app.reply("Ada")  # a text, the name of an action, or paths of files
    await stepwire_app.message("Hello")

Everything is real but Redis, which is fakeredis here (``pip install 'stepwire[testing]'``): what is
tested is what your handlers do, not crashes, blocking or order between processes.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest
from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer

from stepwire._handlers.loading import load_handlers, names_file
from stepwire._handlers.registry import Handlers, process_wide
from stepwire._outline import Branch, grown
from stepwire._runs.app_hooks import application
from stepwire._runs.outcome import RetryLater
from stepwire._runs.runner import Runner
from stepwire._runs.start_page import offers_of
from stepwire._transport.process_publisher import used_as_process_publisher
from stepwire._transport.publisher import Publisher
from stepwire_core.errors import (
    ActionNotFound,
    ChatProfileNotFound,
    FeedbackDisabled,
    HandlerNotFound,
    StepNotFound,
)
from stepwire_core.log import answers as asks
from stepwire_core.log.event_log import Batch, EventLog
from stepwire_core.redis.standalone import BlockingStandaloneStore, StandaloneStore
from stepwire_core.settings import Settings
from stepwire_core.storage.redis_store import Files
from stepwire_core.values import media_types
from stepwire_core.values.clock import now
from stepwire_core.values.ids import message_producer, new_id, upload_producer
from stepwire_core.wire.choices.settings_form import changed_events, with_values
from stepwire_core.wire.choices.start_page import (
    ChatProfileDocument,
    Offers,
    StartPage,
    profile_events,
)
from stepwire_core.wire.documents import (
    AskDocument,
    ElementDocument,
    FeedbackDocument,
    RunDocument,
    StepDocument,
    Submission,
)
from stepwire_core.wire.events import element_event, feedback_event
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.user_messages import attached, message_events, uploaded, user_message
from stepwire_core.wire.words import (
    ON_CHAT_END,
    ON_CHAT_RESUME,
    ON_CHAT_START,
    ON_FEEDBACK,
    ON_MESSAGE,
    ON_SETTINGS_EDIT,
    ON_SETTINGS_UPDATE,
    action_handler,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from types import ModuleType


__all__ = ["App", "Branch", "stepwire_app"]

OUR_PACKAGES: Final = frozenset({"stepwire", "stepwire_core", "stepwire_gateway", "stepwire_cli"})

_LOOK_S: Final = 0.01


class Run(RunDocument):
    """A run as it ended; where an assertion fails, it reads as a sentence."""

    def __repr__(self) -> str:
        reason = f": {self.error.type}: {self.error.message}" if self.error is not None else ""
        return f"<the run of {self.handler} ended as {self.status}{reason}>"


class App:
    """Your handlers and one session: the fixture ``stepwire_app``.

    Without :meth:`load`, the handlers are those that imported modules have defined.
    """

    def __init__(self) -> None:
        server = FakeServer()
        settings = Settings(log_max_events=100_000)
        self._store = StandaloneStore(FakeAsyncRedis(server=server), "fakeredis")
        self._log = EventLog(self._store, settings)
        self._settings = settings
        self._handlers: Handlers = process_wide
        self._publisher = Publisher(
            settings, store=BlockingStandaloneStore(FakeRedis(server=server))
        )
        self._exits = ExitStack()
        self._exits.callback(self._publisher.close)
        self._exits.enter_context(used_as_process_publisher(self._publisher))
        self._imported: set[str] = set()
        self._application: _Application | None = None
        self._branches = Branch(None)
        self._sub_tasks: set[asyncio.Task[None]] = set()
        self._replies: deque[str | Sequence[Path] | Mapping[str, Any]] = deque()
        self.session_id: str = new_id()

    @property
    def tree(self) -> Branch:
        """All steps and messages of the session, as they were after the last call."""
        return self._branches

    def load(self, target: str) -> None:
        """Use the handlers of a file or module instead, as ``stepwire worker`` does.

        It is read anew each time, with the modules beside it that it imports and that were not
        imported before.

        Raises:
            HandlerModuleError: it cannot be loaded.
        """
        self._forget_imported()
        before = set(sys.modules)
        try:
            self._handlers = load_handlers(target)
        finally:
            self._imported = {
                name
                for name in sys.modules.keys() - before
                if _is_in(_folder(target), sys.modules[name])
            }

    async def startup(self) -> None:
        """Run ``on_app_startup``, which the first run does by itself; once.

        ``on_app_shutdown`` runs when the test has ended, or before other handlers are used.

        Raises:
            HandlerModuleError: it failed, or took too long.
        """
        if self._application is None or self._application.handlers is not self._handlers:
            await self.shutdown()
            application = _Application(self._handlers, self._settings)
            await application.begin()
            self._application = application

    async def shutdown(self) -> None:
        """Run ``on_app_shutdown`` now, if ``on_app_startup`` has run."""
        ended, self._application = self._application, None
        if ended is not None:
            await ended.end()

    async def start_page(
        self,
        *,
        chat_profile: str | None = None,
        user: str | None = None,
        language: str | None = None,
    ) -> StartPage:
        """What a page offers before there is a session: chat profiles and starters.

        Raises:
            ChatProfileNotFound: that profile is not offered.
        """
        await self.startup()
        offers = await offers_of(self._handlers, user, language)
        return offers.page(
            offers.default if chat_profile is None else _offered(offers, chat_profile)
        )

    async def start(self, *, chat_profile: str | None = None) -> Run:
        """Begin the session with a chat profile, and run ``on_chat_start``; the run as it ended.

        Raises:
            ChatProfileNotFound: that profile is not offered.
        """
        if chat_profile is not None:
            await self.startup()
            offers = await offers_of(self._handlers, None, None)
            await self._log.create(self.session_id, new_id())
            events = profile_events(self.session_id, _offered(offers, chat_profile))
            await self._log.append(Batch(self.session_id, events))
        return await self._run(ON_CHAT_START)

    async def change_settings(self, **values: Any) -> Run | None:
        """Change settings as a person does, and run ``on_settings_update``; the run as it ended, or
        None without such a handler.

        Raises:
            SettingsNotFound: no handler has sent ``ChatSettings``.
            InvalidSettings: a value does not fit the form.
        """
        await self._log.create(self.session_id, new_id())
        form, _ = await self._log.settings_form(self.session_id)
        changed = with_values(form.props, values)
        await self._log.append(Batch(self.session_id, changed_events(form, changed)))
        if ON_SETTINGS_UPDATE not in self._handlers.functions:
            return None
        return await self._run(ON_SETTINGS_UPDATE, arguments=changed)

    async def edit_settings(self, **values: Any) -> Run:
        """Run ``on_settings_edit`` with what a person is about to choose; the run as it ended.

        Raises: as :meth:`change_settings`.
        """
        await self._log.create(self.session_id, new_id())
        form, _ = await self._log.settings_form(self.session_id)
        return await self._run(ON_SETTINGS_EDIT, arguments=with_values(form.props, values))

    async def message(
        self, content: str, *, author: str = "User", files: Sequence[Path] = (), **metadata: Any
    ) -> Run:
        """Send a person's message and run ``on_message``; the run as it ended."""
        self._require(ON_MESSAGE)
        run_id, message_id = new_id(), new_id()
        await self._log.create(self.session_id, run_id)
        elements = attached([await self._upload(file) for file in files], message_id, run_id)
        message = user_message(
            self.session_id,
            message_id,
            content,
            run_id=run_id,
            author=author,
            metadata=metadata,
            element_ids=[element.id for element in elements],
        )
        events = message_events(message, elements)
        await self._log.append(
            Batch(self.session_id, events, producer=message_producer(message_id), run_id=run_id)
        )
        return await self._run(ON_MESSAGE, run_id=run_id, message=message, elements=elements)

    async def task(self, task: str, **arguments: Any) -> Run:
        """Run a ``@cl.task`` by its name; the run as it ended."""
        return await self._run(task, arguments=arguments)

    async def click(self, name: str) -> Run:
        """Click the newest button of that name and run its ``action_callback``; the run as it
        ended.

        Raises:
            ActionNotFound: no message has such a button.
        """
        await self._log.create(self.session_id, new_id())
        actions = (await self._log.snapshot(self.session_id)).actions
        action = next((each for each in reversed(actions) if each.name == name), None)
        if action is None:
            raise ActionNotFound(self.session_id, name)
        arguments = action.model_dump(mode="json")
        return await self._run(action_handler(name), arguments=arguments, parent_id=action.step_id)

    async def resume(self) -> Run:
        """Run ``on_chat_resume``, as when a person comes back; the run as it ended."""
        return await self._run(ON_CHAT_RESUME)

    async def feedback(
        self, branch: Branch, value: Literal[0, 1], comment: str | None = None
    ) -> Run:
        """Rate a step or message of the tree and run ``on_feedback``; the run as it ended.

        Raises:
            FeedbackDisabled: the step takes no feedback.
        """
        if branch.step is None:
            raise StepNotFound(self.session_id, "")
        if branch.step.disable_feedback:
            raise FeedbackDisabled(self.session_id, branch.step.id)
        feedback = FeedbackDocument(step_id=branch.step.id, value=value, comment=comment, ts=now())
        await self._log.append(Batch(self.session_id, [feedback_event(feedback)]))
        return await self._run(ON_FEEDBACK, arguments=feedback.model_dump(mode="json"))

    async def end(self) -> None:
        """Delete the session and run ``on_chat_end``; a new session begins with the next call."""
        self._require(ON_CHAT_END)
        await self.startup()
        await self._log.create(self.session_id, new_id())
        deleted = await self._log.delete(self.session_id)
        await self._log.forget_deleted(self.session_id)
        await self._execute(
            RunRequest(
                session_id=self.session_id,
                run_id=new_id(),
                handler=ON_CHAT_END,
                user=deleted.user,
            )
        )
        self._branches = Branch(None)

    def reply(self, *answers: str | Sequence[Path] | Mapping[str, Any]) -> None:
        """Put down what the person answers to the next asks: a text, the name of an action, the
        paths of files, or what an element submits: a dict, with ``submitted`` if it is False."""
        self._replies.extend(answers)

    async def _run(
        self,
        handler: str,
        *,
        run_id: str | None = None,
        message: StepDocument | None = None,
        elements: Sequence[ElementDocument] = (),
        arguments: dict[str, Any] | None = None,
        parent_id: str | None = None,
    ) -> Run:
        self._require(handler)
        await self.startup()
        run_id = run_id or new_id()
        await self._log.create(self.session_id, run_id)
        request = RunRequest(
            session_id=self.session_id,
            run_id=run_id,
            handler=handler,
            message=message,
            elements=list(elements),
            arguments=arguments or {},
            parent_id=parent_id,
        )
        running = asyncio.create_task(self._execute(request))
        try:
            await self._answer_asks(running)
        finally:
            for task in (running, *self._sub_tasks):
                task.cancel()
            await asyncio.wait([running, *self._sub_tasks])
        running.result()
        snapshot = await self._log.snapshot(self.session_id)
        self._branches = grown(snapshot.steps)
        run = snapshot.run(run_id)
        if run is None:
            raise LookupError(f"the session has no run {run_id}")
        return Run.model_validate(run.model_dump())

    def _require(self, handler: str) -> None:
        is_profile_chosen = handler == ON_CHAT_START and "set_chat_profiles" in self._handlers.hooks
        if handler not in self._handlers.functions and not is_profile_chosen:
            raise HandlerNotFound(handler, list(self._handlers.functions))

    async def _execute(self, request: RunRequest) -> None:
        runner = Runner(self._handlers, self._log, self._publisher, self._settings, sub_tasks=self)
        tried = 0
        while True:
            try:
                return await runner.execute(request, tried=tried)
            except RetryLater:
                # A test does not wait for a backoff.
                tried += 1

    async def enqueue(self, request: RunRequest, /) -> None:
        """Run what a handler gives to ``cl.enqueue`` here, beside it."""
        task = asyncio.create_task(self._execute(request), context=contextvars.Context())
        self._sub_tasks.add(task)
        task.add_done_callback(self._sub_tasks.discard)

    async def has(self, run_id: str, /) -> bool:  # noqa: ARG002 - the same for all runs
        """Always: what is executed here is not lost on the way."""
        return True

    async def _answer_asks(self, running: asyncio.Task[None]) -> None:
        while not (await asyncio.wait([running], timeout=_LOOK_S))[0]:
            for ask in (await self._log.snapshot(self.session_id)).asks:
                if ask.status == "open":
                    await self._answer(ask)

    async def _answer(self, ask: AskDocument) -> None:
        if not self._replies:
            raise LookupError(
                f"the handler asks for {ask.kind}, and no answer is left: "
                "stepwire_app.reply(…) before the call"
            )
        given = self._replies.popleft()
        content = action = files = submission = None
        if isinstance(given, Mapping):
            props = {name: value for name, value in given.items() if name != "submitted"}
            submission = Submission(submitted=given.get("submitted", True), props=props)
        elif not isinstance(given, str):
            files = [await self._upload(Path(path)) for path in given]
        elif ask.kind == "action":
            action = next((item.id for item in ask.actions if item.name == given), given)
        else:
            content = given
        answer = asks.Answer(
            id=new_id(), content=content, action=action, files=files, submission=submission
        )
        await self._log.answer(asks.answer_batch(ask, answer, asks.ended(ask, answer)))

    async def _upload(self, path: Path) -> ElementDocument:
        content, element_id = await asyncio.to_thread(path.read_bytes), new_id()
        await Files(self._store, self._settings).put(self.session_id, element_id, content)
        element = uploaded(
            self.session_id,
            element_id,
            path.name,
            media_types.by_name(path.name) or media_types.UNKNOWN,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        await self._log.append(
            Batch(self.session_id, [element_event(element)], producer=upload_producer(element_id))
        )
        return element

    def close(self) -> None:
        """Let go of everything; what handlers have imported is imported anew by the next test."""
        if self._application is not None:
            self._application.end_without_loop()
        self._exits.close()
        self._forget_imported()

    def _forget_imported(self) -> None:
        for name in self._imported:
            sys.modules.pop(name, None)
        self._imported.clear()


class _Application:
    """What handlers do around all runs, on the event loop of the first of them.

    A plugin may close that loop before the fixture ends, or after. An asynchronous generator that
    is under way is closed by its loop, whichever comes first.
    """

    def __init__(self, handlers: Handlers, settings: Settings) -> None:
        self.handlers = handlers
        self._around = _around(handlers, settings)
        self._loop = asyncio.get_running_loop()

    async def begin(self) -> None:
        await anext(self._around)

    async def end(self) -> None:
        await self._around.aclose()

    def end_without_loop(self) -> None:
        if not (self._loop.is_closed() or self._loop.is_running()):
            self._loop.run_until_complete(self._around.aclose())


async def _around(handlers: Handlers, settings: Settings) -> AsyncGenerator[None, None]:
    async with application(handlers, settings):
        yield


def _offered(offers: Offers, name: str) -> ChatProfileDocument:
    profile = offers.profile(name)
    if profile is None:
        raise ChatProfileNotFound(name, [each.name for each in offers.chat_profiles])
    return profile


def _folder(target: str) -> Path:
    return Path(target).resolve().parent if names_file(target) else Path.cwd()


def _is_in(folder: Path, module: ModuleType) -> bool:
    """Whether a module is the user's, and not installed there."""
    file = getattr(module, "__file__", None)
    return (
        file is not None
        and module.__name__.partition(".")[0] not in OUR_PACKAGES
        and (path := Path(file)).is_relative_to(folder)
        and not {"site-packages", "dist-packages"}.intersection(path.parts)
    )


@pytest.fixture
def stepwire_app() -> Iterator[App]:
    """Your handlers and a session of their own."""
    app = App()
    before = list(sys.path)
    try:
        yield app
    finally:
        sys.path[:] = before
        app.close()
