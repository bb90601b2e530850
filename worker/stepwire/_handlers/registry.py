"""The user's handlers, and the decorators that make them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, Unpack, get_args, overload

from stepwire._decorating.callables import kind_of, name_of
from stepwire._handlers.definition import Definition
from stepwire._handlers.policy import Concurrency, Policy, RunOptions
from stepwire_core.errors import HandlerNotFound, InvalidArgument
from stepwire_core.wire.words import (
    EVENT_HANDLERS,
    ON_CHAT_END,
    ON_CHAT_RESUME,
    ON_CHAT_START,
    ON_FEEDBACK,
    ON_MESSAGE,
    ON_SETTINGS_EDIT,
    ON_SETTINGS_UPDATE,
    ON_STOP,
    action_handler,
    is_event_handler,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Handler = TypeVar("Handler", bound=Callable[..., Any])

Hook = Literal[
    "on_app_startup",
    "on_app_shutdown",
    "author_rename",
    "set_chat_profiles",
    "set_starters",
    "set_starter_categories",
]


@dataclass(frozen=True, slots=True)
class Feedback:
    """A person's rating of a step or message."""

    session_id: str
    step_id: str
    value: int | None
    """1 good, 0 bad, None: taken back."""
    comment: str | None

    @property
    def forId(self) -> str:  # noqa: N802 - the original's name
        return self.step_id

    @property
    def threadId(self) -> str:  # noqa: N802 - the original's name
        return self.session_id


def feedback_of(session_id: str, arguments: dict[str, Any]) -> Feedback:
    """What ``on_feedback`` gets, from the arguments of its run."""
    from stepwire_core.wire.documents import FeedbackDocument

    document = FeedbackDocument.model_validate(arguments)
    return Feedback(session_id, document.step_id, document.value, document.comment)


@dataclass(slots=True)
class Handlers:
    """The handlers of one module, by name."""

    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)
    hooks: dict[Hook, Callable[..., Any]] = field(default_factory=dict)
    """What the process calls beside runs: no client can ask for one of these."""
    policies: dict[str, Policy] = field(default_factory=dict)
    definitions: dict[str, Definition] = field(default_factory=dict)
    of_one_program: bool = True
    """Whether all belong together, so that two of one name are a mistake wherever they stand."""

    def add(self, name: str, function: Callable[..., Any], policy: Policy | None = None) -> None:
        """Take a handler; one that was defined by the same statement before is replaced.

        Raises:
            InvalidArgument: it is not a function, or a generator, or another one has that name.
        """
        self._define(name, function)
        self.functions[name] = function
        self.policies[name] = policy or Policy()

    def add_hook(self, name: Hook, function: Callable[..., Any]) -> None:
        """Take what is called when the process begins or ends.

        Raises: as :meth:`add`.
        """
        self._define(name, function)
        self.hooks[name] = function

    def _define(self, name: str, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise InvalidArgument(f"{name} takes a function, not {type(function).__name__}")
        if kind_of(function) in ("generator", "async generator"):
            raise InvalidArgument(
                f"{name} takes a function without 'yield', which {name_of(function)!r} has: write "
                "what it yields with stream_token, or return it"
            )
        definition = Definition.of_caller(__name__)
        before = self.definitions.get(name)
        if (
            before is not None
            and not definition.is_again(before)
            and (self.of_one_program or definition.is_beside(before))
        ):
            raise InvalidArgument(_defined_twice(name, before, definition))
        self.definitions[name] = definition

    def policy(self, name: str) -> Policy:
        """How the runs of that handler are treated, known or not."""
        return self.policies.get(name, _DEFAULT)

    @property
    def max_running(self) -> dict[str, int]:
        """The most runs of a handler that all workers execute at a time, where it says one."""
        return {
            name: policy.max_running
            for name, policy in self.policies.items()
            if policy.max_running is not None
        }

    def get(self, name: str) -> Callable[..., Any]:
        """The handler of that name.

        Raises:
            HandlerNotFound: no handler has that name.
        """
        try:
            return self.functions[name]
        except KeyError:
            raise HandlerNotFound(name, list(self.functions)) from None


_DEFAULT: Final = Policy()
_TASK_NAME: Final = "__stepwire_task__"
_RESERVED: Final = EVENT_HANDLERS.union(get_args(Hook))

process_wide = Handlers(of_one_program=False)
"""Handlers that are defined outside :func:`collecting`, as by tests that import the user's modules:
of two that have a handler of one name the one that was imported last counts."""

_collecting: ContextVar[Handlers] = ContextVar("stepwire_handlers")


@contextmanager
def collecting() -> Iterator[Handlers]:
    """Handlers that are defined inside the block, apart from all others."""
    handlers = Handlers()
    token = _collecting.set(handlers)
    try:
        yield handlers
    finally:
        _collecting.reset(token)


def on_app_startup(function: Handler) -> Handler:
    """Run this when a worker process begins, before its first run. It takes no parameter.

    It is the place for pools, clients and models that all runs of the process share: it runs on the
    event loop of the handlers; keep what it makes in your module. The worker takes no run before it
    has ended, for which it has ``STEPWIRE_STARTUP_TIMEOUT_S``; if it raises, or takes longer, the
    worker ends with that error. There is no session, so no steps, but for those in
    :class:`session`. A synchronous one runs in a thread.
    """
    return _registered_hook("on_app_startup", function)


def on_app_shutdown(function: Handler) -> Handler:
    """Run this when a worker process ends in order, after its last run. It takes no parameter.

    It has five seconds. It runs only if ``on_app_startup`` has ended well, and not in a process
    that is killed or that a blocked event loop ends. If it raises, a line in the log says so.
    """
    return _registered_hook("on_app_shutdown", function)


def set_chat_profiles(function: Handler) -> Handler:
    """Say which chat profiles there are: the function returns a list of :class:`ChatProfile`.

    It may take the :class:`User`, or None, and the person's language, a tag as ``en-GB``, or None.
    It runs in a worker, outside any session, whenever a page asks; what it says for a person is
    used for half a minute. It also runs where a session begins without a profile, which then gets
    the default one.
    """
    return _registered_hook("set_chat_profiles", function)


def set_starters(function: Handler) -> Handler:
    """Say which questions a page offers to begin with: the function returns a list of
    :class:`Starter`.

    Its parameters, and how it runs, are as of :func:`set_chat_profiles`. A profile that has
    starters shows its own.
    """
    return _registered_hook("set_starters", function)


def set_starter_categories(function: Handler) -> Handler:
    """Say which groups of questions a page offers to begin with: the function returns a list of
    :class:`StarterCategory`.

    It may take the user, the language, and the name of the chat profile, or None. How it runs is
    as of :func:`set_chat_profiles`.
    """
    return _registered_hook("set_starter_categories", function)


def author_rename(function: Handler) -> Handler:
    """Give the authors of messages other names: the function takes the author of a message that is
    about to be sent, and returns the name to show.

    It is called once for each message of a handler, not for a person's. A name that is not a
    string raises :class:`InvalidArgument` where the message is sent.
    """
    return _registered_hook("author_rename", function)


@overload
def on_chat_start(function: Handler) -> Handler: ...


@overload
def on_chat_start(**options: Unpack[RunOptions]) -> Callable[[Handler], Handler]: ...


def on_chat_start(
    function: Handler | None = None, **options: Unpack[RunOptions]
) -> Handler | Callable[[Handler], Handler]:
    """Run this when a session is created. It takes no parameter.

    The first message waits until it has ended. Used bare or with options, as :func:`task`.

    Raises:
        InvalidArgument: an option makes no sense.
    """
    return _registered(ON_CHAT_START, function, Policy.of(options))


@overload
def on_chat_resume(function: Handler) -> Handler: ...


@overload
def on_chat_resume(**options: Unpack[RunOptions]) -> Callable[[Handler], Handler]: ...


def on_chat_resume(
    function: Handler | None = None, **options: Unpack[RunOptions]
) -> Handler | Callable[[Handler], Handler]:
    """Run this when a person comes back to a conversation: ``POST …/resume``.

    It may take the conversation, a dict: ``id``, ``steps`` (oldest first, with the fields of the
    protocol: ``type``, ``output``, ``parent_id`` …), ``elements``, ``feedback``, and ``metadata``,
    which is the user session. What the user session holds is there anyway.

    Used bare or with options, as :func:`task`.

    Raises:
        InvalidArgument: an option makes no sense.
    """
    return _registered(ON_CHAT_RESUME, function, Policy.of(options))


@overload
def on_chat_end(function: Handler) -> Handler: ...


@overload
def on_chat_end(**options: Unpack[RunOptions]) -> Callable[[Handler], Handler]: ...


def on_chat_end(
    function: Handler | None = None, **options: Unpack[RunOptions]
) -> Handler | Callable[[Handler], Handler]:
    """Run this when a session has been deleted: ``DELETE …``. No parameter.

    ``user_session`` has its last values; the rest of the session is gone already, so nobody sees
    what is sent from here. It does not run when a client disconnects, nor when a session expires.

    Used bare or with options, as :func:`task`.

    Raises:
        InvalidArgument: an option makes no sense.
    """
    return _registered(ON_CHAT_END, function, Policy.of(options))


@overload
def on_feedback(function: Handler) -> Handler: ...


@overload
def on_feedback(**options: Unpack[RunOptions]) -> Callable[[Handler], Handler]: ...


def on_feedback(
    function: Handler | None = None, **options: Unpack[RunOptions]
) -> Handler | Callable[[Handler], Handler]:
    """Run this when a person has rated a step or message; it may take the :class:`Feedback`.

    Used bare or with options, as :func:`task`.

    Raises:
        InvalidArgument: an option makes no sense.
    """
    return _registered(ON_FEEDBACK, function, Policy.of(options))


@overload
def on_settings_update(function: Handler) -> Handler: ...


@overload
def on_settings_update(**options: Unpack[RunOptions]) -> Callable[[Handler], Handler]: ...


def on_settings_update(
    function: Handler | None = None, **options: Unpack[RunOptions]
) -> Handler | Callable[[Handler], Handler]:
    """Run this when a person has changed the settings of a session; it may take all of their
    values, a dict.

    The values are kept already, whether or not it ends well. A message that is sent afterwards
    waits until it has ended, as it waits for those before it.

    Used bare or with options, as :func:`task`.

    Raises:
        InvalidArgument: an option makes no sense.
    """
    return _registered(ON_SETTINGS_UPDATE, function, Policy.of(options))


@overload
def on_settings_edit(function: Handler) -> Handler: ...


@overload
def on_settings_edit(**options: Unpack[RunOptions]) -> Callable[[Handler], Handler]: ...


def on_settings_edit(
    function: Handler | None = None, **options: Unpack[RunOptions]
) -> Handler | Callable[[Handler], Handler]:
    """Run this while a person fills in the settings; it may take the values as they would be.

    Nothing is kept of them. It may show another form with ``ChatSettings(…).refresh()``, in which
    an input depends on another. It waits for no other run.

    Used bare or with options, as :func:`task`.

    Raises:
        InvalidArgument: an option makes no sense.
    """
    return _registered(ON_SETTINGS_EDIT, function, Policy.of(options))


@overload
def on_message(function: Handler) -> Handler: ...


@overload
def on_message(
    *, concurrency: Concurrency = "queue", **options: Unpack[RunOptions]
) -> Callable[[Handler], Handler]: ...


def on_message(
    function: Handler | None = None,
    *,
    concurrency: Concurrency = "queue",
    **options: Unpack[RunOptions],
) -> Handler | Callable[[Handler], Handler]:
    """Run this for each message of a person; it may take the :class:`Message`, or nothing.

    Used bare, or with options: ``@cl.on_message(concurrency="interrupt", max_attempts=3,
    retry_on=TimeoutError)``.

    Args:
        concurrency: What happens to a message that comes while another of the same session is
            under way, on whatever worker. ``queue``: it waits, and messages are answered in their
            order. ``parallel``: it is answered at once. ``reject``: its run ends with the error
            ``Busy``. ``interrupt``: what is under way is cancelled, then it is answered.
        **options: As of :func:`task`.

    Raises:
        InvalidArgument: an option makes no sense.
    """
    return _registered(ON_MESSAGE, function, Policy.of(options, concurrency))


@overload
def on_stop(function: Handler) -> Handler: ...


@overload
def on_stop(**options: Unpack[RunOptions]) -> Callable[[Handler], Handler]: ...


def on_stop(
    function: Handler | None = None, **options: Unpack[RunOptions]
) -> Handler | Callable[[Handler], Handler]:
    """Run this when a person has stopped a run, after its handler was cancelled. No parameter.

    It has ten seconds, or ``timeout_s``; what it shows belongs to the run that was stopped. It is a
    part of that run, so it takes none of the other options of :func:`task`.

    Raises:
        InvalidArgument: an option makes no sense.
    """
    return _registered(ON_STOP, function, _of_on_stop(options))


def action_callback(name: str, **options: Unpack[RunOptions]) -> Callable[[Handler], Handler]:
    """Run this when a person clicks an action of that name on a message; it may take the
    :class:`Action`.

    A click is a run of its own, which waits for no other. Its steps nest under the message. The
    button stays until ``action.remove()``, so a person can click it again.

    Args:
        name: The name of the actions.
        **options: As of :func:`task`.

    Raises:
        InvalidArgument: the name is not a text, another function has it, or an option makes no
            sense.
    """
    if not isinstance(name, str) or not name:
        raise InvalidArgument(
            f"action_callback takes the name of an action, not {name!r}: "
            '@cl.action_callback("approve")'
        )
    policy = Policy.of(options)

    def decorate(target: Handler) -> Handler:
        return _register(action_handler(name), target, policy)

    return decorate


@overload
def task(function: Handler) -> Handler: ...


@overload
def task(
    *, name: str | None = None, **options: Unpack[RunOptions]
) -> Callable[[Handler], Handler]: ...


def task(
    function: Handler | None = None,
    *,
    name: str | None = None,
    **options: Unpack[RunOptions],
) -> Handler | Callable[[Handler], Handler]:
    """Let clients run this by its name, without a chat: ``POST …/runs {"task": …, "args": {…}}``;
    and other handlers with ``await cl.enqueue(…)``.

    Its parameters come from ``args``, by name. Used bare, or with options:
    ``@cl.task(name="index", max_attempts=3, retry_on=(ConnectionError, TimeoutError))``.

    Args:
        name: What it is called by; by default the function's name.
        max_attempts: How often it is tried, whether it fails or its worker dies; by default
            ``STEPWIRE_MAX_ATTEMPTS``.
        retry_on: Errors that are worth another attempt; ``TimeoutError`` stands for ``timeout_s``,
            too. :class:`Retry` always is.
        backoff_s: Seconds before the second attempt; twice as long before each one after it, at
            most five minutes.
        timeout_s: Seconds that an attempt may take; by default ``STEPWIRE_RUN_TIMEOUT_S``.
        max_running: How many runs of it all workers together execute at a time, at most; by default
            as many as they can. The others wait, and keep nobody else waiting. One that waits
            itself, for a person or a sub-task, does not count.

    Raises:
        InvalidArgument: the name is taken, by a handler of ours or by another task, or an option
            makes no sense. A file that is read again replaces its own tasks.
    """
    policy = Policy.of(options)
    if function is not None:
        return _registered(_task_name(getattr(function, "__name__", "")), function, policy)
    if name is not None:
        return _registered(_task_name(name), None, policy)

    def decorate(target: Handler) -> Handler:
        return _register(_task_name(getattr(target, "__name__", "")), target, policy)

    return decorate


def name_of_task(function: object) -> str | None:
    """The name under which a function was registered as a task."""
    name = getattr(function, _TASK_NAME, None)
    return name if isinstance(name, str) else None


def _task_name(name: str) -> str:
    if not name or _is_reserved(name):
        raise InvalidArgument(f"a task cannot be called {name!r}: give it a name, @cl.task(name=…)")
    return name


def _registered(
    name: str, function: Handler | None, policy: Policy
) -> Handler | Callable[[Handler], Handler]:
    """The function, registered; or, without one, what registers it."""
    if function is not None:
        return _register(name, function, policy)

    def decorate(target: Handler) -> Handler:
        return _register(name, target, policy)

    return decorate


def _register(name: str, function: Handler, policy: Policy | None = None) -> Handler:
    _collecting.get(process_wide).add(name, function, policy)
    if not is_event_handler(name):
        setattr(function, _TASK_NAME, name)
    return function


def _of_on_stop(options: RunOptions) -> Policy:
    if others := sorted(options.keys() - {"timeout_s"}):
        raise InvalidArgument(
            f"{', '.join(others)}: on_stop is a part of the run that was stopped, and takes only "
            "timeout_s"
        )
    return Policy.of(options)


def _registered_hook(name: Hook, function: Handler) -> Handler:
    _collecting.get(process_wide).add_hook(name, function)
    return function


def _is_reserved(name: str) -> bool:
    return name in _RESERVED or is_event_handler(name)


def _defined_twice(name: str, before: Definition, now: Definition) -> str:
    if _is_reserved(name):
        decorator = name if name in _RESERVED else f"action_callback({name.partition(':')[2]!r})"
        return (
            f"@cl.{decorator} is used twice: in {before}, and in {now}; keep one of them, and let "
            "it call what the other does"
        )
    return (
        f"task {name!r} is defined twice: in {before}, and in {now}; give one of them another "
        "name: @cl.task(name=…)"
    )


def takes_argument(function: Callable[..., Any]) -> bool:
    """Whether a handler that may take one thing, or nothing, wants it."""
    return bool(inspect.signature(function).parameters)
