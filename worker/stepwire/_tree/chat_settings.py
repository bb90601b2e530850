"""The settings of a session: a form that people fill in, whose values handlers read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepwire._scope.context import current_frame
from stepwire._values.json_form import jsonable
from stepwire.input_widget import InputWidget, Tab
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.json_values import encoded
from stepwire_core.values.lists import items_of
from stepwire_core.values.text import require_size
from stepwire_core.wire.choices.settings_form import inputs_of, settings_form, values_of
from stepwire_core.wire.events import element_event, user_value_event
from stepwire_core.wire.words import CHAT_SETTINGS

if TYPE_CHECKING:
    from stepwire._scope.context import Scope
    from stepwire._transport.producer import Put


class ChatSettings:
    """A form of settings: ``await cl.ChatSettings([Slider("temperature", "Temperature")]).send()``.

    A session has one: what is sent replaces the form before it. The values are kept with the
    session, as ``cl.user_session.get("chat_settings")``; a person's change runs
    ``@cl.on_settings_update``.

    Args:
        inputs: Inputs of ``stepwire.input_widget``, or tabs of them.

    Raises:
        InvalidArgument: something else is in ``inputs``, or two have one id.
    """

    def __init__(self, inputs: Sequence[InputWidget | Tab]) -> None:
        self.inputs: list[InputWidget | Tab] = items_of(
            (InputWidget, Tab),
            inputs,
            expected="ChatSettings takes a list of inputs, such as [Switch(id=…, label=…)]",
            item="an input of ChatSettings is one of stepwire.input_widget",
        )
        self._form()

    def settings(self) -> dict[str, Any]:
        """The first value of each input, by its id."""
        return values_of({"inputs": self._form()})

    async def send(self) -> dict[str, Any]:
        """Show the form to all, and keep its first values in the session.

        Returns:
            The values, by the ids of the inputs.

        Raises:
            InvalidArgument: two inputs have one id, or the form is too large (``ValueTooLarge``).
            NoActiveSession: outside any session.
            RunFenced, RunEnded, SessionNotFound, StoreUnavailable: nothing more can be stored.
        """
        return await self._show(keeps=True)

    async def refresh(self) -> dict[str, Any]:
        """Show the form to all; the values that the session keeps change only when a person
        confirms the form. For :func:`on_settings_edit`.

        Returns:
            The values that the form shows.

        Raises: as :meth:`send`.
        """
        return await self._show(keeps=False)

    async def _show(self, *, keeps: bool) -> dict[str, Any]:
        scope = current_frame("ChatSettings").scope
        inputs = self._form()
        values = values_of({"inputs": inputs})
        form = settings_form(scope.session_id, inputs, values, run_id=scope.run_id or None)
        says = json.dumps(form.props)
        require_size("the form of the settings", says, scope.producer.settings.max_event_bytes)
        events = [element_event(form)]
        if keeps:
            events.insert(0, user_value_event(CHAT_SETTINGS, encoded(values)))

        def show(put: Put) -> None:
            put(*events)
            if keeps:
                _keep(scope, values)

        scope.producer.atomically(show)
        await scope.producer.room()
        return values

    def _form(self) -> list[dict[str, Any]]:
        inputs = [jsonable(each.to_dict()) for each in self.inputs]
        count = sum(len(each.inputs) if isinstance(each, Tab) else 1 for each in self.inputs)
        if len(inputs_of({"inputs": inputs})) < count:
            raise InvalidArgument(
                "two inputs of ChatSettings have the same id: their values are "
                "kept under it, so give each one of its own"
            )
        return inputs


def _keep(scope: Scope, values: dict[str, Any]) -> None:
    if scope.run is not None:
        scope.run.user[CHAT_SETTINGS] = values
