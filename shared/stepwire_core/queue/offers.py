"""What a page offers before there is a session: gateways ask, and any worker answers.

The answer lies in the queue's Redis, for all gateways. It is asked for again when it is older than
:data:`FRESH_S`, and used for :data:`KEPT_S` where no worker has the time to answer.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from stepwire_core.redis.commands import command
from stepwire_core.values.ids import derived_id
from stepwire_core.wire.choices.start_page import Offers
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.unreadable import readable
from stepwire_core.wire.words import START_PAGE

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store

FRESH_S: Final = 30.0
KEPT_S: Final = 600

_PRIORITY: Final = 9
"""A person waits for it, and it is short."""


def question(queue_name: str, subject: str | None, language: str | None) -> RunRequest:
    """The job that has a worker say it for one person: the same for all who ask at a time."""
    id_ = derived_id(START_PAGE, queue_name, json.dumps([subject, language]))
    return RunRequest(
        # No session is touched by it.
        session_id=id_,
        run_id=id_,
        handler=START_PAGE,
        arguments={"language": language},
        subject=subject,
        priority=_PRIORITY,
    )


def _key(queue_name: str, run_id: str) -> str:
    return f"{queue_name}:offers:{run_id}"


async def keep_offers(store: Store, queue_name: str, request: RunRequest, offers: Offers) -> None:
    """Keep a worker's answer for the gateways.

    Raises:
        StoreUnavailable: the queue's Redis does not answer.
    """
    key = _key(queue_name, request.run_id)
    await store.call(command("SET", key, offers.model_dump_json(), "EX", KEPT_S))


async def kept_offers(store: Store, queue_name: str, request: RunRequest) -> Offers | None:
    """The answer of a worker; None if none has answered, or the answer is too old.

    Raises:
        StoreUnavailable: the queue's Redis does not answer.
    """
    [content] = await store.read(command("GET", _key(queue_name, request.run_id)))
    return None if content is None else readable(Offers, content, "offers", request.run_id)


def is_fresh(offers: Offers) -> bool:
    """Whether it need not be asked for again."""
    return time.time() - offers.at_s < FRESH_S
