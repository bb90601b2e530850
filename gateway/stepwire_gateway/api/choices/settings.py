"""The settings of a session, as people change them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, JsonValue

from stepwire_core.errors import (
    InvalidSettings,
    MessageTooLarge,
    RunNotFound,
    SettingsNotFound,
    StateChanged,
)
from stepwire_core.log.event_log import Batch
from stepwire_core.log.submit import is_one_step, submit
from stepwire_core.log.turn_queue import pass_turn
from stepwire_core.values.ids import request_producer
from stepwire_core.wire.choices.settings_form import changed_events, values_of, with_values
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.words import CHAT_SETTINGS, ON_SETTINGS_EDIT, ON_SETTINGS_UPDATE
from stepwire_gateway.api.idempotency import IdempotencyDep
from stepwire_gateway.api.operations import LOCATION, may
from stepwire_gateway.api.runs import ACCEPTED, AcceptedRun, accepted, run_path
from stepwire_gateway.auth.guard import CallerDep, GuardedRoute, needs
from stepwire_gateway.http.bodies import Body, Id, Object
from stepwire_gateway.services import ServicesDep, SessionId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stepwire_gateway.services import Services

router = APIRouter(
    prefix="/v1/sessions/{session_id}/settings", tags=["settings"], route_class=GuardedRoute
)

Values = Annotated[
    Object, Field(description="By the ids of the inputs; those that are left out stay.")
]


class NewSettings(Body):
    values: Values
    id: Id | None = Field(default=None, description="The run's id; makes the request repeatable.")


class ChangedSettings(BaseModel):
    run_id: str
    values: dict[str, JsonValue] = Field(description="Of all inputs of the form, as they are now.")


@router.put("", responses=may(409) | {200: {"headers": LOCATION}})
@needs("write", counts="messages")
async def change_settings(
    services: ServicesDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    session_id: SessionId,
    response: Response,
    body: NewSettings,
) -> ChangedSettings:
    """Change settings, for all to see, and run ``on_settings_update``.

    The form that a handler has sent says which values fit; if one does not, nothing changes.
    """
    run_id = idempotency.id(body.id)
    response.headers["Location"] = services.address(run_path(session_id, run_id))
    change = _Change(services, session_id, run_id, body.values)
    try:
        await change.read()
    except (InvalidSettings, SettingsNotFound):
        # The run that this very request has started may have sent another form.
        if await _is_known(services, session_id, run_id):
            return ChangedSettings(run_id=run_id, values=await _values_now(services, session_id))
        raise
    await services.queue.require_room(services.settings.queue_max)
    with idempotency.checked(body.id):
        work = json.dumps([CHAT_SETTINGS, body.values], sort_keys=True)
        await services.log.register_run(session_id, run_id, work, turn=ON_SETTINGS_UPDATE)
    values = await change.store(caller.asking(change.request(ON_SETTINGS_UPDATE)))
    return ChangedSettings(run_id=run_id, values=values)


@router.post("/edit", status_code=202, responses=ACCEPTED | may(409))
@needs("write", counts="messages")
async def edit_settings(
    services: ServicesDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    session_id: SessionId,
    response: Response,
    body: NewSettings,
) -> AcceptedRun:
    """Tell ``on_settings_edit`` what a person is about to choose; nothing is stored.

    It may send another form, in which an input depends on what was chosen in another.
    """
    run_id = idempotency.id(body.id)
    change = _Change(services, session_id, run_id, body.values)
    await change.read()
    await services.queue.require_room(services.settings.queue_max)
    with idempotency.checked(body.id):
        work = json.dumps([ON_SETTINGS_EDIT, body.values], sort_keys=True)
        await services.log.register_run(session_id, run_id, work)
    await services.queue.enqueue(caller.asking(change.request(ON_SETTINGS_EDIT)))
    return accepted(services, response, session_id, run_id)


class _Change:
    """Values of a person on their way into the form that the session has."""

    def __init__(
        self, services: Services, session_id: str, run_id: str, given: dict[str, Any]
    ) -> None:
        self._services = services
        self._session_id = session_id
        self._run_id = run_id
        self._given = given
        self.values: dict[str, Any] = {}
        """All values of the form with those that were given."""

    async def read(self) -> None:
        """Read the form, and see whether the values fit.

        Raises:
            SessionNotFound, SettingsNotFound: there is no form.
            InvalidSettings: some do not fit.
            MessageTooLarge: a text is too long.
        """
        self._form, self._stored = await self._services.log.settings_form(self._session_id)
        self.values = with_values(self._form.props, self._given)
        most = self._services.settings.max_message_chars
        for text in _texts(self._given.values()):
            if len(text) > most:
                raise MessageTooLarge(len(text), most)

    def request(self, handler: str) -> RunRequest:
        """The request for a run of the handler of this change."""
        return RunRequest(
            session_id=self._session_id,
            run_id=self._run_id,
            handler=handler,
            arguments=self.values,
        )

    async def store(self, request: RunRequest) -> dict[str, Any]:
        """Put the values in place and queue the run, in one step; all values as they are then.

        Raises: as :meth:`read`, if the form has changed meanwhile; and as ``submit``.
        """
        log, queue = self._services.log, self._services.queue
        while True:
            batch = Batch(
                self._session_id,
                changed_events(self._form, self.values),
                producer=request_producer(self._run_id),
                expects=self._stored,
            )
            try:
                appended = await submit(log, queue, batch, request)
            except StateChanged:
                # Another person, or a handler, was quicker: their change stays.
                await self._read_again(request.handler)
                request = request.model_copy(update={"arguments": self.values})
                continue
            if appended.stored:
                return self.values
            if not is_one_step(log, queue):
                # The first request may have ended before it had queued the run.
                await queue.enqueue(request)
            return values_of(self._form.props)

    async def _read_again(self, handler: str) -> None:
        try:
            await self.read()
        except (InvalidSettings, SettingsNotFound):
            services = self._services
            await pass_turn(services.log, services.queue, self._session_id, handler, self._run_id)
            raise


def _texts(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _texts(value)


async def _values_now(services: Services, session_id: str) -> dict[str, Any]:
    try:
        form, _ = await services.log.settings_form(session_id)
    except SettingsNotFound:
        return {}
    return values_of(form.props)


async def _is_known(services: Services, session_id: str, run_id: str) -> bool:
    try:
        await services.log.known_run(session_id, run_id)
    except RunNotFound:
        return False
    return True
