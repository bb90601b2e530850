"""The identity of a call of a function, which is the same in every process."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, TypeGuard
from uuid import UUID

from stepwire._decorating.callables import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

_BY_TEXT: Final = (Enum, bytes, date, time, timedelta, Decimal, PurePath, UUID, complex, range)
_MOST_DEEP: Final = 200


def identity(function: Callable[..., Any], name: str, arguments: Mapping[str, Any]) -> str:
    """The function and its arguments, in short.

    An argument that has no value of its own, such as a client or a callback, does not count: in
    another process it is another object.
    """
    known = {}
    for argument, value in arguments.items():
        try:
            known[argument] = json.dumps(_plain(value, 0), sort_keys=True)
        except Exception:  # noqa: BLE001, S112 - foreign objects may raise anything
            continue
    module, own = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    called = [str(module), str(own) or name_of(function), name, known]
    return sha256(json.dumps(called, sort_keys=True).encode()).hexdigest()


def _plain(value: Any, depth: int) -> Any:
    """A value in JSON's own types, the same in every process.

    Raises:
        TypeError: the value cannot be expressed in these types.
    """
    if depth > _MOST_DEEP:
        raise TypeError("nested too deeply")
    if isinstance(value, _BY_TEXT):
        return [type(value).__name__, repr(value)]
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(_plain(item, depth + 1), sort_keys=True) for item in value)
    if isinstance(value, Mapping):
        return {
            json.dumps(_plain(key, depth + 1), sort_keys=True): _plain(item, depth + 1)
            for key, item in value.items()
        }
    if _is_model(value):
        try:
            # As JSON a set would have the order of its hashes, which differs between processes.
            return _plain(value.model_dump(), depth + 1)
        except TypeError:
            # It holds a value that only pydantic can express, such as an address.
            return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name), depth + 1)
            for field in dataclasses.fields(value)
        }
    raise TypeError(f"{type(value).__name__} has no value of its own")


def _is_model(value: Any) -> TypeGuard[BaseModel]:
    """Whether it is a model of pydantic's, which only a program that has loaded it can have."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(value, pydantic.BaseModel)
