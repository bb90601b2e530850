"""Every error that stepwire raises on purpose.

::

    StepwireError
    ├── SettingsError           a setting is missing or has a wrong value
    ├── HandlerModuleError      the user's module cannot be loaded
    ├── HandlerNotFound         this worker does not have a handler of that name
    ├── NotProvided             (also an AttributeError) chainlit has that name, stepwire lacks it
    ├── NoActiveSession         a step or message was used outside any session
    ├── ForkedProcess           a step of the parent process was used in a forked child
    ├── InvalidArgument         (also a ValueError) a value that the API cannot take
    │   ├── InvalidId
    │   ├── InvalidCursor
    │   ├── InvalidSettings     values that the form of the settings does not take
    │   ├── ElementTooLarge     the bytes of an element are more than can be kept
    │   └── ValueTooLarge       a value is larger than an event may be
    ├── SessionNotFound         the session does not exist: never created, expired, or deleted
    ├── RunNotFound             the session does not have that run
    ├── RunNotFailed            the run is not among those that have failed for good
    ├── StepNotFound            the session does not have that step
    ├── ElementNotFound         the session does not have that element, or its bytes are gone
    ├── ActionNotFound          the session does not have that action, or not any more
    ├── SettingsNotFound        the session does not have a form of settings
    ├── ChatProfileNotFound     the application does not offer that chat profile to this caller
    ├── AskNotFound             the session does not have that ask
    ├── AskEnded                the ask was answered before, or its handler no longer waits
    ├── FeedbackDisabled        the step cannot be rated
    ├── RunNotOver              the run goes on, so it cannot be repeated yet
    ├── RequestNotKept          what the run was asked for with is not known any more
    ├── IdConflict              an id was sent before with other content
    │   └── KeyReused           an Idempotency-Key was sent before with other content
    ├── StillInProgress         the request that is repeated has not been answered yet
    ├── RunWaits                other runs of the session come before this one
    ├── StateChanged            what a call goes by has changed meanwhile: it is made anew
    ├── NoWorker                no worker has answered what only a worker knows
    ├── SessionFull             the session has as many steps or bytes as the settings allow
    ├── QueueFull               more runs wait than the settings allow
    ├── TaskFailed              a task that was awaited with ``cl.enqueue`` did not end well
    ├── Unauthenticated         the caller sent no token, or an invalid one
    ├── Forbidden               the caller's token does not allow this
    │   ├── CrossSiteRequest    a page of another site would act in its visitor's name
    │   └── UntrustedHost       a gateway without authentication was called by a foreign name
    ├── LimitExceeded           too many requests in some time, or too many open streams
    ├── MessageTooLarge         a message, or its metadata, has too many characters
    ├── UnsupportedMediaType    the media type or coding of a body is not accepted
    ├── TokensDisabled          this gateway has no secret to sign tokens with
    ├── RunFenced               a newer attempt of the run has begun
    ├── RunEnded                the run has its final ``run.end``
    ├── ProtocolViolation       the log refused a call that was made wrongly: a fault of ours
    ├── KeysUnavailable         the public key for a token is not known yet
    ├── StoreUnavailable        Redis, or the storage of large elements, does not answer
    ├── StoreRefused            Redis refuses what is needed until a person changes a setting
    ├── ProcessUnfit            a process is dead, or its event loop is blocked
    └── SideTaskFailed          a part that the process needs has failed, and the process ends
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class StepwireError(Exception):
    """Root of all errors that stepwire raises on purpose.

    Each reaches another process whole, as from a ``ProcessPoolExecutor``: pickling keeps its text
    and its attributes, whatever its constructor takes.
    """

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...], dict[str, object]]:
        # Exception would call the constructor with the text, which is not what it takes.
        return _rebuilt, (type(self), self.args), self.__dict__


def _rebuilt(error: type[StepwireError], args: tuple[object, ...]) -> StepwireError:
    return error.__new__(error, *args)


class SettingsError(StepwireError):
    """A setting is missing or has a wrong value; the message names the variable and the value."""


class HandlerModuleError(StepwireError):
    """The module with the handlers cannot be loaded, or its ``on_app_startup`` failed."""


class NotProvided(StepwireError, AttributeError):
    """The library whose API this is has that name, but stepwire lacks it."""

    def __init__(self, attribute: str, instead: str) -> None:
        self.attribute = attribute
        self.instead = instead
        super().__init__(f"stepwire has no {attribute}, which chainlit has: {instead}")


class HandlerNotFound(StepwireError):
    """This worker does not have a handler of that name."""

    def __init__(self, handler: str, known: list[str]) -> None:
        self.handler = handler
        self.known = known
        have = ", ".join(sorted(known)) or "none"
        super().__init__(
            f"this worker does not have a handler {handler!r} (it has: {have}); "
            "define it in the module that the worker was started with"
        )


def _of_thread() -> str:
    if threading.current_thread() is threading.main_thread():
        return ""
    return (
        ". A thread of your own has no session: start it with cl.make_async(function), or let it "
        "run in the session's context: contextvars.copy_context().run(function)"
    )


class NoActiveSession(StepwireError):
    """A step or message was used outside any session."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} was used outside any session: use it inside a handler (@cl.on_message, "
            "@cl.on_chat_start, @cl.task), in a task that a handler has started, or in a session "
            f"that you open: with cl.session(id){_of_thread()}"
        )


class ForkedProcess(StepwireError):
    """A step of the parent process was used in a forked child."""

    def __init__(self) -> None:
        super().__init__(
            "this process was forked inside a session, which belongs to the parent process: pass "
            "cl.current().export() to the child, and use 'with cl.attach(context):' there"
        )


class InvalidArgument(StepwireError, ValueError):
    """The API cannot take a value; nothing was sent."""


class InvalidId(InvalidArgument):
    """An id has a form that keys and URLs cannot carry."""

    def __init__(self, what: str, value: object) -> None:
        # Callers may pass anything; a lock, say, could not leave the process with the error.
        self.value: str = value if isinstance(value, str) else repr(value)
        super().__init__(
            f"{what} id {value!r} is not usable: 1 to 128 characters of A-Z a-z 0-9 . _ : @ ~ -, "
            "the first a letter or digit"
        )


class InvalidCursor(InvalidArgument):
    """A cursor is not of the form ``<epoch>-<seq>``."""

    def __init__(self, value: str) -> None:
        self.value = value
        super().__init__(
            f"cursor {value!r} is not of the form <epoch>-<seq>: send the id of an event "
            "unchanged, or no cursor to start from a snapshot"
        )


class InvalidSettings(InvalidArgument):
    """Values that the form of a session's settings does not take; nothing was stored."""

    def __init__(self, flaws: dict[str, str]) -> None:
        self.flaws = flaws
        """The flaw of each refused value, by the id of its input."""
        super().__init__("; ".join(f"{id_!r} {flaw}" for id_, flaw in flaws.items()))


class ElementTooLarge(InvalidArgument):
    """The bytes of an element are more than the settings allow."""

    def __init__(self, what: str, size: int, limit: int, remedy: str) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"{what} has {size} bytes, at most {limit} can be kept: {remedy}")


class ValueTooLarge(InvalidArgument):
    """A value is larger, as JSON, than ``STEPWIRE_MAX_EVENT_BYTES`` allows; nothing was sent."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            f"{what} has {size} bytes as JSON, at most {limit} are allowed "
            "(STEPWIRE_MAX_EVENT_BYTES): keep large data in an element or in a store of your own, "
            "and send its address"
        )


class SessionNotFound(StepwireError):
    """The session was never created on this server, has expired, or was deleted."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(
            f"session {session_id!r} does not exist: it was never created, has expired, or was "
            "deleted; create one with POST /v1/sessions"
        )


class RunNotFound(StepwireError):
    """The session does not have a run of that id."""

    def __init__(self, session_id: str, run_id: str) -> None:
        self.session_id = session_id
        self.run_id = run_id
        super().__init__(f"session {session_id!r} does not have a run {run_id!r}")


class RunNotFailed(StepwireError):
    """The run is not among those that have failed for good and are still kept."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"run {run_id!r} is not among the failed runs: it has not failed, was retried or "
            "forgotten, or failed longer ago than these are kept; 'stepwire runs --failed' and "
            "GET /v1/runs?status=error,interrupted list those that can be retried"
        )


class StepNotFound(StepwireError):
    """The session does not have a step of that id."""

    def __init__(self, session_id: str, step_id: str) -> None:
        self.session_id = session_id
        self.step_id = step_id
        super().__init__(
            f"session {session_id!r} does not have a step {step_id!r}: it was never sent, or was "
            "removed"
        )


class ElementNotFound(StepwireError):
    """The session does not have an element of that id, or its bytes are gone."""

    def __init__(self, session_id: str, element_id: str) -> None:
        self.session_id = session_id
        self.element_id = element_id
        super().__init__(
            f"session {session_id!r} does not have the content of an element {element_id!r}: the "
            "element was never added, was removed, or has a url of its own"
        )


class ActionNotFound(StepwireError):
    """The session does not have an action of that id, or not any more."""

    def __init__(self, session_id: str, action_id: str) -> None:
        self.session_id = session_id
        self.action_id = action_id
        super().__init__(
            f"session {session_id!r} does not have an action {action_id!r}: it was never sent, or "
            "was removed, maybe because another person has clicked it"
        )


class SettingsNotFound(StepwireError):
    """The session does not have a form of settings."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(
            f"session {session_id!r} has no settings to change: no handler has sent a "
            "cl.ChatSettings in it"
        )


class ChatProfileNotFound(StepwireError):
    """The application does not offer a chat profile of that name to this caller."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name = name
        self.known = known
        listed = ", ".join(map(repr, known)) or "none"
        super().__init__(f"the chat profile {name!r} is not offered; {listed} may be chosen")


class AskNotFound(StepwireError):
    """The session does not have an ask of that id."""

    def __init__(self, session_id: str, ask_id: str) -> None:
        self.session_id = session_id
        self.ask_id = ask_id
        super().__init__(f"session {session_id!r} does not have an ask {ask_id!r}")


class AskEnded(StepwireError):
    """The ask was answered before, or its handler no longer waits."""

    def __init__(self, session_id: str, ask_id: str) -> None:
        self.session_id = session_id
        self.ask_id = ask_id
        super().__init__(
            f"ask {ask_id!r} has ended: it was answered, its time ran out, or its run is over; "
            "the session's snapshot has its status"
        )


class RunNotOver(StepwireError):
    """The run waits or goes on, so it cannot be repeated yet."""

    def __init__(self, session_id: str, run_id: str) -> None:
        self.session_id = session_id
        self.run_id = run_id
        super().__init__(
            f"run {run_id!r} is not over: wait for its end, or cancel it, then repeat it"
        )


class RequestNotKept(StepwireError):
    """What the run was asked for with is not known any more."""

    def __init__(self, session_id: str, run_id: str, what: str) -> None:
        self.session_id = session_id
        self.run_id = run_id
        super().__init__(f"run {run_id!r} cannot be repeated as it was: {what}")


class FeedbackDisabled(StepwireError):
    """The step cannot be rated."""

    def __init__(self, session_id: str, step_id: str) -> None:
        self.session_id = session_id
        self.step_id = step_id
        super().__init__(
            f"step {step_id!r} does not take feedback: it was made with disable_feedback=True"
        )


class IdConflict(StepwireError):
    """An id that makes a request repeatable was sent again with other content."""

    def __init__(self, what: str, value: str) -> None:
        self.value = value
        super().__init__(
            f"the {what} id {value!r} was used before with other content; send a fresh id"
        )


class KeyReused(IdConflict):
    """An ``Idempotency-Key`` was sent again with other content."""

    def __init__(self, value: str) -> None:
        self.value = value
        StepwireError.__init__(
            self,
            f"the Idempotency-Key {value!r} was used before with other content; send a fresh key "
            "with every request that is not a repetition",
        )


class StillInProgress(StepwireError):
    """A request with the same ``Idempotency-Key`` has not been answered yet."""

    def __init__(self, value: str) -> None:
        self.value = value
        self.retry_after_s: float = 1.0
        super().__init__(
            f"a request with the Idempotency-Key {value!r} is still in progress: repeat this one "
            "when it is over"
        )


class Unauthenticated(StepwireError):
    """The caller sent no valid token; the message never repeats the token."""

    def __init__(self, why: str, *, given: bool = True) -> None:
        self.given = given
        """Whether there was a token at all."""
        super().__init__(why)


class Forbidden(StepwireError):
    """The caller lacks the right to do this, whether or not the thing asked for exists."""


class CrossSiteRequest(Forbidden):
    """A page of another site has sent this request with the credentials of its visitor."""

    def __init__(self) -> None:
        super().__init__(
            "this request comes from a page of another site: send it from the gateway's "
            "own origin or one of STEPWIRE_CORS_ORIGINS, or with 'Authorization: Bearer'"
        )


class UntrustedHost(Forbidden):
    """A gateway without authentication was called by a name that is not this machine's."""

    def __init__(self) -> None:
        super().__init__(
            "this gateway has no authentication and answers to this machine's own names alone "
            "(localhost, 127.0.0.1): set STEPWIRE_AUTH_SECRETS, STEPWIRE_AUTH_JWKS_URL or "
            "STEPWIRE_API_KEYS, or name the host in STEPWIRE_AUTH_OPEN_HOSTS"
        )


class LimitExceeded(StepwireError):
    """A caller makes more requests, or opens more streams, than a limit allows."""

    def __init__(self, what: str, setting: str, retry_after_s: float) -> None:
        self.setting = setting
        """The variable with the limit."""
        self.retry_after_s = retry_after_s
        super().__init__(f"{what} ({setting}); try again in {max(1, round(retry_after_s))} s")


class MessageTooLarge(StepwireError):
    """A message, or its metadata as JSON, has more characters than the settings allow."""

    def __init__(self, chars: int, limit: int, *, of_metadata: bool = False) -> None:
        self.chars = chars
        self.limit = limit
        what, setting = "message", "STEPWIRE_MAX_MESSAGE_CHARS"
        if of_metadata:
            what, setting = "metadata of the message", "STEPWIRE_MAX_METADATA_CHARS"
        super().__init__(
            f"the {what} has {chars} characters, at most {limit} are allowed ({setting})"
        )


class UnsupportedMediaType(StepwireError):
    """A body has a media type, or a content coding, that the route does not accept."""

    def __init__(self, why: str, *, accept: str = "", accept_encoding: str = "") -> None:
        self.accept = accept
        self.accept_encoding = accept_encoding
        """The types and codings that are accepted, as in the headers of these names; empty if the
        request has an accepted one."""
        super().__init__(why)


class TokensDisabled(StepwireError):
    """This gateway does not have a secret to sign tokens with."""

    def __init__(self) -> None:
        super().__init__(
            "this gateway cannot issue tokens, since it does not have a secret to sign them with: "
            "set STEPWIRE_AUTH_SECRETS, or get a token from the issuer of the keys at "
            "STEPWIRE_AUTH_JWKS_URL"
        )


class RunFenced(StepwireError):
    """A newer attempt of this run has begun; this one may write nothing more."""

    def __init__(self, session_id: str, run_id: str, attempt: int, current: int) -> None:
        self.session_id = session_id
        self.run_id = run_id
        self.attempt = attempt
        self.current = current
        super().__init__(
            f"attempt {attempt} of run {run_id!r} is stale: attempt {current} has begun "
            "elsewhere; stop working on it"
        )


class RunWaits(StepwireError):
    """Other runs of the session come before this one."""

    def __init__(self, session_id: str, run_id: str, before: list[tuple[str, str]]) -> None:
        self.session_id = session_id
        self.run_id = run_id
        self.before = before
        """Those runs in their order: handler and id."""
        super().__init__(f"run {run_id!r} waits for {len(before)} other runs")


class StateChanged(StepwireError):
    """The state that a call is based on has changed since it was read: read it, and call again."""

    def __init__(self, session_id: str, field: str) -> None:
        self.session_id = session_id
        self.field = field
        super().__init__(f"{field!r} of session {session_id!r} has changed meanwhile: try again")


class NoWorker(StepwireError):
    """No worker has answered for the handlers: none runs, or all are busy."""


class SessionFull(StepwireError):
    """The session has as many steps, or bytes, as the settings allow, and takes nothing new.

    Open steps can still end, and steps and elements can be removed.
    """

    def __init__(self, session_id: str, what: str, limit: int) -> None:
        self.session_id = session_id
        self.what = what
        """``steps`` or ``bytes``."""
        self.limit = limit
        self.setting: str = f"STEPWIRE_SESSION_MAX_{what.upper()}"
        """The variable with the limit."""
        super().__init__(
            f"session {session_id!r} is full: it may have {limit} {what} ({self.setting}); go on "
            "in a new session, remove steps or elements of this one, or raise the setting"
        )


class QueueFull(StepwireError):
    """More runs wait for a worker than ``STEPWIRE_QUEUE_MAX`` allows."""

    def __init__(self, waiting: int, limit: int) -> None:
        self.waiting = waiting
        self.limit = limit
        self.retry_after_s: float = 5.0
        super().__init__(
            f"{waiting} runs wait for a worker, at most {limit} may (STEPWIRE_QUEUE_MAX): "
            "try again later, or start more workers"
        )


class TaskFailed(StepwireError):
    """A task that was awaited with ``cl.enqueue`` failed, was cancelled, or was interrupted."""

    def __init__(self, task: str, run_id: str, status: str, type: str, message: str) -> None:
        self.task = task
        self.run_id = run_id
        self.status = status
        """``error``, ``cancelled`` or ``interrupted``, as of a run."""
        self.type = type
        """The class of the error that the task raised; empty if it raised none."""
        self.message = message
        detail = f": {type}: {message}" if type else ""
        super().__init__(f"task {task!r} ended with status {status}{detail}")


class RunEnded(StepwireError):
    """The run, or this attempt of it, has its ``run.end``; nothing can follow it."""

    def __init__(self, session_id: str, run_id: str) -> None:
        self.session_id = session_id
        self.run_id = run_id
        super().__init__(
            f"run {run_id!r} has ended; a step or message that belongs to it came too late "
            "(await the tasks that a handler starts before it returns)"
        )


class ProtocolViolation(StepwireError):
    """The log refused a call whose form or order is wrong: a fault in stepwire, please report."""


class KeysUnavailable(StepwireError):
    """A token cannot be checked yet: its public key is not known, and may not exist."""

    def __init__(self, *, is_away: bool) -> None:
        self.is_away = is_away
        """Whether the server of the keys does not answer; if it does, it is asked again soon."""
        why = "does not answer" if is_away else "was asked a moment ago, and is asked again soon"
        super().__init__(
            "the token cannot be checked at the moment: the server of its public keys "
            f"(STEPWIRE_AUTH_JWKS_URL) {why}; try again"
        )


class StoreUnavailable(StepwireError):
    """Redis, or the storage of large elements, does not answer."""


class StoreRefused(StepwireError):
    """Redis refuses what is needed until a person changes a right or a password.

    Repeating the call does not help; the message says what to change.
    """


class ProcessUnfit(StepwireError):
    """A process is dead, or its event loop is blocked; the message says which."""


class SideTaskFailed(StepwireError):
    """A part that a process needs has failed in an unforeseen way."""

    def __init__(self, part: str, why: str) -> None:
        self.part = part
        super().__init__(
            f"{part!r} has failed ({why}), and this process cannot work without it: start it "
            "again, and report the traceback above"
        )
