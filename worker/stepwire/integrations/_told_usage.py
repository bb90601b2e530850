"""The usage of a model's call, by the many names that libraries have for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stepwire._values.usage import MOST, usage_of
from stepwire_core.errors import InvalidArgument
from stepwire_core.wire.documents import Usage

_WHERE: Final = ("usage", "token_usage")
_INPUT: Final = ("input_tokens", "prompt_tokens")
_OUTPUT: Final = ("output_tokens", "completion_tokens")
_COST: Final = ("cost", "total_cost")


def usage_in(facts: Mapping[str, Any]) -> Usage | None:
    """The usage that the facts about a call tell; None: they tell nothing of it."""
    told: Mapping[str, Any] = next(
        (facts[name] for name in _WHERE if isinstance(facts.get(name), Mapping)), {}
    )
    tokens_in, tokens_out = _number(told, _INPUT), _number(told, _OUTPUT)
    cost = _number(told, _COST)
    if tokens_in is None and tokens_out is None and cost is None:
        return None
    model = facts.get("model")
    try:
        return usage_of(
            None,
            None if tokens_in is None else int(tokens_in),
            None if tokens_out is None else int(tokens_out),
            cost,
            model if isinstance(model, str) else None,
        )
    except InvalidArgument:
        # A library may count below zero; users need not see that.
        return None


def _number(told: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    numbers = (told.get(name) for name in names)
    return next(
        (
            number
            for number in numbers
            if isinstance(number, (int, float))
            and not isinstance(number, bool)
            and abs(number) <= MOST
        ),
        None,
    )
