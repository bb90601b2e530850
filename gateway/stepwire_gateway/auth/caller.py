"""A caller: its subject, the sessions that it may reach, and its rights in them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stepwire_core.errors import Forbidden, InvalidId
from stepwire_core.values.ids import check_id
from stepwire_core.wire.rights import Right
from stepwire_core.wire.run_request import Priority, RunRequest
from stepwire_gateway.http.bodies import OnBehalf
from stepwire_gateway.http.request_trace import request_trace

ADMIN: Final = "admin"
"""All the others, and what no other is enough for."""

_SUBJECT: Final = "{sub}"
_ID_PART: Final = re.compile(r"[A-Za-z0-9._:@~-]*\Z")

_CLAIM: Final = r"^(([A-Za-z0-9._:@~-]|\{sub\})*([A-Za-z0-9._:@~-]\*)?|\*)$"

SessionClaim = Annotated[str, Field(min_length=1, max_length=256, pattern=_CLAIM)]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One session, or, with ``is_prefix``, all whose ids begin like this."""

    text: str
    is_prefix: bool

    def matches(self, session_id: str) -> bool:
        return session_id.startswith(self.text) if self.is_prefix else session_id == self.text

    @classmethod
    def of(cls, claim: str, subject: str) -> Self:
        """Read a claim: an id, or the beginning of one and ``*``, with ``{sub}`` in it or not.

        What the subject is put into is taken apart before, so nothing in a subject is a wildcard.
        And what follows ``{sub}`` must tell where the subject ends: else ``{sub}:*`` of the subject
        ``a`` would open what the same claim opens for the subject ``a:b``.

        Raises:
            ValueError: it has another form, or does not fit the subject.
        """
        is_prefix = claim.endswith("*")
        before, *after = claim.removesuffix("*").split(_SUBJECT)
        if not all(_ID_PART.match(part) for part in (before, *after)):
            raise ValueError(
                "a session is an id, or the beginning of one and '*'; '{sub}' stands for the "
                "subject, and nothing else has a meaning"
            )
        if after:
            if not _ID_PART.match(subject):
                raise ValueError(
                    "'{sub}' cannot be used: the subject has characters that no session id can have"
                )
            if is_prefix and (not after[0] or after[0][0] in subject):
                raise ValueError(
                    "between '{sub}' and '*' there must be a character that is not in the subject"
                )
        return cls(subject.join([before, *after]), is_prefix)


class Grant(BaseModel):
    """The claims of a token: its subject, the sessions that it opens, and the rights in them."""

    model_config = ConfigDict(strict=True)

    sub: str = Field(min_length=1, max_length=256, description="Who the token is for.")
    sessions: list[SessionClaim] = Field(
        max_length=256,
        description="Ids, or beginnings of ids and `*`; `{sub}` stands for the subject.",
    )
    rights: list[Right] = Field(max_length=16, description="What may be done in these sessions.")
    priority: Priority = Field(default=0, description="Of the runs that are asked for with it.")

    @model_validator(mode="after")
    def _patterns_fit(self) -> Self:
        self.patterns()
        return self

    def patterns(self) -> tuple[Pattern, ...]:
        return tuple(Pattern.of(claim, self.sub) for claim in self.sessions)


class Claims(Grant):
    """What is read of a token."""

    exp: float


def complaint(error: ValidationError) -> str:
    """The fault of a claim, without the claim's value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "claims"
    return f"{where}: {first['msg']}"


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request, as far as its credentials say."""

    subject: str | None
    """The subject of the token; None for a backend, and for all callers without authentication."""
    patterns: tuple[Pattern, ...]
    rights: frozenset[str]
    expires_at: float | None = None
    """When the token ends, in seconds since 1970."""
    is_backend: bool = False
    """Whether the caller has sent an API key."""
    priority: int = 0
    """The priority of the runs that the caller asks for."""

    @property
    def has_expired(self) -> bool:
        return self.expires_at is not None and time.time() >= self.expires_at

    @property
    def reaches_all(self) -> bool:
        return any(pattern.is_prefix and not pattern.text for pattern in self.patterns)

    @property
    def is_admin(self) -> bool:
        """Whether the caller may do everything in the sessions that it reaches."""
        return ADMIN in self.rights

    def may_know(self, subject: str | None) -> bool:
        """Whether the caller may be told that something is of this subject: it may choose subjects
        itself, or it is that subject."""
        return self.is_admin or (subject is not None and subject == self.subject)

    def require_right(self, right: Right) -> None:
        """Check the right alone, not the session.

        Raises:
            Forbidden: the caller lacks that right.
        """
        if right not in self.rights and ADMIN not in self.rights:
            raise Forbidden(f"this token lacks the right {right!r}")

    def require(self, right: Right, session_id: str) -> None:
        """Check right and session. The answer is the same whether or not the session exists.

        Raises:
            Forbidden: the caller lacks that right in this session.
        """
        self.require_right(right)
        if not any(pattern.matches(session_id) for pattern in self.patterns):
            raise Forbidden("this token does not open that session")

    def on_behalf(self, of: OnBehalf, session_id: str) -> Caller:
        """The same caller, asking for a run of another subject.

        Raises:
            Forbidden: the caller may not choose the subject or the priority.
        """
        if of.subject is None and of.priority is None:
            return self
        if ADMIN not in self.rights:
            raise Forbidden("'subject' and 'priority' are for callers with the right 'admin'")
        self.require(ADMIN, session_id)
        return replace(
            self,
            subject=self.subject if of.subject is None else of.subject,
            priority=self.priority if of.priority is None else of.priority,
        )

    def asking(self, request: RunRequest) -> RunRequest:
        """The request with the caller's subject and priority, its place in the queue; and in the
        trace of the HTTP request."""
        trace = request_trace()
        return request.model_copy(
            update={
                "subject": self.subject,
                "priority": self.priority,
                "traceparent": None if trace is None else trace.header(),
            }
        )

    def new_session_id(self, name: str) -> str:
        """The id of a session that the caller can reach: ``name`` after the beginning of a pattern.

        Raises:
            Forbidden: the token opens single sessions only, so the caller must name one.
        """
        for pattern in self.patterns:
            if pattern.is_prefix:
                try:
                    return check_id(pattern.text + name, "session")
                except InvalidId:
                    continue
        raise Forbidden("this token opens only sessions with given ids: send one of them as 'id'")


_EVERYWHERE: Final = (Pattern("", is_prefix=True),)

ANYBODY: Final = Caller(None, _EVERYWHERE, frozenset({ADMIN}))
"""The caller of a gateway without authentication."""

BACKEND: Final = Caller(None, _EVERYWHERE, frozenset({ADMIN}), is_backend=True)
"""The caller with an API key."""
