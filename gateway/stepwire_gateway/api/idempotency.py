"""The header ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header): requests that may be
sent again."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import Depends, Header, Request

from stepwire_core.errors import IdConflict, InvalidArgument, KeyReused, StillInProgress
from stepwire_core.redis.claims import claimed
from stepwire_core.redis.keys import claim_key
from stepwire_core.values.ids import derived_id, new_id
from stepwire_gateway.auth.guard import CallerDep

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store
    from stepwire_gateway.auth.caller import Caller

HEADER: Final = "Idempotency-Key"

CLAIM_S: Final = 600
"""How long a repetition is refused at most when the gateway that had the request has died."""

# A string of RFC 9651, 3.3.3; or, as many clients send it, the same without quotes.
_FORM: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"|([!#-~]{1,255})')


class Idempotency:
    """The ids of what one request makes.

    With a key they come from it: the same request again means the same run, message or file, and
    is taken once, as with an ``id`` in its body. They come from the caller and the operation,
    too, so that the keys of two callers never collide. A key is remembered with what it has made,
    so for as long as the session lives.
    """

    def __init__(self, request: Request, caller: Caller, key: str | None) -> None:
        self.key = key
        self._request = request
        self._caller = caller

    def id(self, given: str | None = None) -> str:
        """The id in the body, else that of the key, else a fresh one."""
        if given is not None:
            return given
        return new_id() if self.key is None else self._of_key(self.key)

    def _of_key(self, key: str) -> str:
        request, caller = self._request, self._caller
        operation = [request.method, request.scope["route"].path, request.path_params]
        sender = [caller.subject, caller.is_backend]
        return derived_id(HEADER, json.dumps([key, operation, sender], sort_keys=True))

    @contextmanager
    def checked(self, given: str | None = None) -> Iterator[None]:
        """Say of a conflict that it is one of keys, if the id does not come from the body.

        Raises:
            KeyReused: the key stands for something else.
        """
        try:
            yield
        except IdConflict:
            if given is not None or self.key is None:
                raise
            raise KeyReused(self.key) from None

    @asynccontextmanager
    async def claimed(self, store: Store) -> AsyncIterator[None]:
        """Within this no other request has the key; for what is not stored in one step.

        Raises:
            StillInProgress: another request has it.
            StoreUnavailable: Redis does not answer.
        """
        if self.key is None:
            yield
            return
        async with claimed(store, claim_key(self._of_key(self.key)), CLAIM_S) as is_ours:
            if not is_ours:
                raise StillInProgress(self.key)
            yield


# Only for the document: what has another form is refused as every other problem is.
_IN_DOCUMENT: Final[dict[str, Any]] = {"pattern": f"^({_FORM.pattern})$"}


async def _idempotency(
    request: Request,
    caller: CallerDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias=HEADER,
            json_schema_extra=_IN_DOCUMENT,
            description="Makes the request repeatable: sent again with the same key it is taken "
            "once, and answered alike. A string of your choice, best a fresh UUID, in quotes or "
            "not. An `id` in the body counts instead, if there is one.",
        ),
    ] = None,
) -> Idempotency:
    if idempotency_key is None:
        return Idempotency(request, caller, None)
    match = _FORM.fullmatch(idempotency_key.strip())
    if match is None:
        raise InvalidArgument(
            f"{HEADER} {idempotency_key!r}: send 1 to 255 characters of printable ASCII, best a "
            "fresh UUID, in double quotes"
        )
    quoted, plain = match.groups()
    return Idempotency(request, caller, plain or re.sub(r"\\(.)", r"\1", quoted))


IdempotencyDep = Annotated[Idempotency, Depends(_idempotency)]
