"""The sidebar: elements beside the conversation, for all of the session's pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from stepwire._elements.element_base import Element
from stepwire._scope.context import current_frame
from stepwire._transport.threads import in_thread
from stepwire._values.attributes import list_of, refusal
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.text import require_size
from stepwire_core.wire.choices.settings_form import own_element, own_element_id
from stepwire_core.wire.events import element_event, element_remove_event
from stepwire_core.wire.unreadable import readable

if TYPE_CHECKING:
    from stepwire._scope.context import Scope
    from stepwire_core.wire.documents import ElementDocument

SIDEBAR: Final = "sidebar"
"""The type of the element that says what is in it."""


class ElementSidebar:
    """Elements beside the conversation: ``await cl.ElementSidebar.set_elements([table])``.

    A session has one, and all of its pages show it, also after a reload. What stands in it and
    nowhere else is gone when it is taken out.
    """

    @staticmethod
    async def set_title(title: str) -> None:
        """Give it a title, which opens it.

        Raises:
            InvalidArgument: the title is not a text.
            NoActiveSession: outside any session.
            RunFenced, RunEnded, SessionNotFound, StoreUnavailable: nothing more can be stored.
        """
        if not isinstance(title, str):
            raise refusal("title", "sidebar", "must be a string", title)
        scope = current_frame("ElementSidebar").scope
        async with _alone(scope):
            before = await _shown(scope)
            await _show(scope, {"elements": [], "key": None} | before | {"title": title})

    @staticmethod
    async def set_elements(elements: Sequence[Element], key: str | None = None) -> None:
        """Put these elements into it, in place of those that are there; an empty list closes it.

        If it is open with the same ``key``, nothing changes.

        Raises:
            InvalidArgument: an element cannot be shown or stored, or is there twice.
            NoActiveSession: outside any session.
            RunFenced, RunEnded, SessionNotFound, StoreUnavailable: nothing more can be stored.
        """
        wanted = list_of(Element, "an element is a cl.Element", elements, "elements", "sidebar")
        if key is not None and not isinstance(key, str):
            raise refusal("key", "sidebar", "must be a string", key)
        ids = [element.id for element in wanted]
        if len(set(ids)) < len(ids):
            raise InvalidArgument("an element is in the list for the sidebar twice")
        scope = current_frame("ElementSidebar").scope
        async with _alone(scope):
            before = await _shown(scope)
            if not (wanted and key is not None and before.get("key") == key):
                await _replace(scope, before, wanted, key)


def _alone(scope: Scope) -> AbstractAsyncContextManager[object]:
    """Serializes the concurrent changes of one handler, as with ``asyncio.gather``."""
    run = scope.run
    is_ours = run is not None and run.loop is asyncio.get_running_loop()
    return run.sidebar if run is not None and is_ours else nullcontext()


async def _replace(
    scope: Scope, before: Mapping[str, Any], wanted: Sequence[Element], key: str | None
) -> None:
    ids = [element.id for element in wanted]
    there = [id_ for id_ in before.get("elements", ()) if isinstance(id_, str)]
    for element in wanted:
        await element._send_beside(scope, again=element.id not in there)
    if wanted:
        await _show(scope, {"title": before.get("title"), "elements": ids, "key": key})
    elif before:
        scope.producer.publish(element_remove_event(own_element_id(scope.session_id, SIDEBAR)))
    await _take_out(scope, [id_ for id_ in there if id_ not in ids])


async def _shown(scope: Scope) -> dict[str, Any]:
    """What it shows now; nothing: it is closed."""
    [document] = await _documents(scope, [own_element_id(scope.session_id, SIDEBAR)])
    return {} if document is None else dict(document.props)


async def _show(scope: Scope, props: dict[str, Any]) -> None:
    limit = scope.producer.settings.max_event_bytes
    require_size("what the sidebar shows", json.dumps(props), limit)
    document = own_element(scope.session_id, SIDEBAR, SIDEBAR, props, run_id=scope.run_id or None)
    scope.producer.publish(element_event(document))
    await scope.producer.room()


async def _take_out(scope: Scope, ids: Sequence[str]) -> None:
    """Remove those that no step shows."""
    if not ids:
        return
    found = await _documents(scope, ids)
    gone = [each.id for each in found if each is not None and each.step_id is None]
    scope.producer.publish(*map(element_remove_event, gone))
    # After the events are stored: no client may be shown an element whose bytes are gone.
    await scope.producer.flush()
    store = scope.producer.contents
    await asyncio.shield(in_thread(store.remove_objects, scope.session_id, gone))


async def _documents(scope: Scope, ids: Sequence[str]) -> list[ElementDocument | None]:
    from stepwire_core.wire.documents import ElementDocument

    await scope.producer.flush()
    values = await scope.producer.state([f"e:{id_}" for id_ in ids])
    return [
        None
        if value is None
        else readable(ElementDocument, value, "element", id_, session_id=scope.session_id)
        for id_, value in zip(ids, values, strict=True)
    ]
