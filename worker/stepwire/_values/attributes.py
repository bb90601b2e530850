"""Attributes that are checked where they are assigned: what a user sets can be sent and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_args, overload

from stepwire_core.errors import InvalidArgument
from stepwire_core.values.ids import check_id
from stepwire_core.wire.words import StepStatus

if TYPE_CHECKING:
    from typing import Self

    from pydantic import ValidationError

G = TypeVar("G")
S = TypeVar("S", contravariant=True)
T = TypeVar("T")

_MISSING: Final = object()


if TYPE_CHECKING:

    class Checked(Generic[G, S]):
        """An attribute that is read as ``G`` and takes ``S``."""

        def __init__(
            self,
            check: Callable[[Any, str, str], G],
            *as_it_is: type,
            default: Any = ...,
            fixed_once_sent: bool = False,
        ) -> None: ...

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...

        @overload
        def __get__(self, instance: object, owner: type) -> G: ...

        def __get__(self, instance: object | None, owner: type) -> Self | G: ...

        def __set__(self, instance: object, value: S) -> None: ...

else:

    class Checked(property):
        """An attribute whose value is what ``check`` makes of what is assigned.

        ``check`` gets the value, the attribute's name, and the noun for what has it (``step``). It
        raises InvalidArgument for what it cannot take. Values of the types ``as_it_is`` it need not
        see. It lies in ``_checked_<name>``. (A property, since that is read without a call into
        Python: steps are made by thousands.)

        Until something is assigned, it is ``default``, if there is one.

        An attribute that is ``fixed_once_sent`` takes no other value while its object's
        ``_is_sent`` is true.
        """

        def __init__(
            self,
            check: Callable[[Any, str, str], Any],
            *as_it_is: type,
            default: Any = _MISSING,
            fixed_once_sent: bool = False,
        ) -> None:
            super().__init__()
            self._default = default
            self._check = check
            self._as_it_is = frozenset(as_it_is)
            self._fixed_once_sent = fixed_once_sent

        def __set_name__(self, owner: type, name: str) -> None:
            stored, check, as_it_is = f"_checked_{name}", self._check, self._as_it_is
            if self._default is not _MISSING:
                # On the class: a constructor assigns only what is something else.
                setattr(owner, stored, self._default)

            def assign(instance: object, value: object) -> None:
                if value.__class__ not in as_it_is:
                    value = check(value, name, getattr(instance, "_what", "element"))
                setattr(instance, stored, value)

            def assign_until_sent(instance: object, value: object) -> None:
                # A constructor assigns before there is anything that could have been sent.
                if getattr(instance, "_is_sent", False):
                    noun = getattr(instance, "_what", "element")
                    if check(value, name, noun) == getattr(instance, stored):
                        return
                    raise InvalidArgument(
                        f"the {name} of this {noun} is what clients know it by, and it has been "
                        f"sent: give the {name} when you make the {noun}, or before it is sent"
                    )
                assign(instance, value)

            setter = assign_until_sent if self._fixed_once_sent else assign
            super().__init__(attrgetter(stored), setter)


def text(value: object, name: str, noun: str) -> str:
    if isinstance(value, str):
        return value
    raise refusal(name, noun, "must be a string", value)


def text_or_none(value: object, name: str, noun: str) -> str | None:
    return None if value is None else text(value, name, noun)


def flag(value: object, name: str, noun: str) -> bool:
    """None is False, as in the library whose API this is."""
    if isinstance(value, int) or value is None:
        return bool(value)
    raise refusal(name, noun, "must be True or False", value)


def flag_or_text(value: object, name: str, noun: str) -> bool | str:
    return value if isinstance(value, str) else flag(value, name, noun)


def step_status(value: object, name: str, noun: str) -> str:
    if isinstance(value, str) and value in get_args(StepStatus):
        return value
    known = ", ".join(get_args(StepStatus))
    raise InvalidArgument(f"the {name} of a {noun} is one of {known}, not {value!r}")


def own_id(value: object, _name: str, noun: str) -> str:
    return check_id(value, noun)


def id_of_parent(value: object, _name: str, _noun: str) -> str | None:
    return None if value is None else check_id(value, "parent")


def mapping(value: object, name: str, noun: str) -> dict[str, Any]:
    """None is empty. A dict stays the one that it is: what is put into it later counts."""
    if isinstance(value, dict):
        return value
    if value is None or isinstance(value, Mapping):
        return dict(value or {})
    raise refusal(name, noun, "must be a dict", value)


def list_of(kind: type[T], plural: str, value: object, name: str, noun: str) -> list[T]:
    """None is empty. A list stays the one that it is: what is put into it later counts.

    Raises:
        InvalidArgument: ``value`` is something else, or holds something else; ``plural`` says what
            it should hold.
    """
    given = [] if value is None else value
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise refusal(name, noun, f"must be a list of {name}", value)
    for item in given:
        if not isinstance(item, kind):
            raise InvalidArgument(f"{plural}, not {type(item).__name__}")
    return given if isinstance(given, list) else list(given)


def words(value: object, name: str, noun: str) -> list[str]:
    """None is empty. A list stays the one that it is."""
    given = [] if value is None else value
    if isinstance(given, str) or not isinstance(given, (Sequence, set, frozenset)):
        raise refusal(name, noun, "must be a list of strings", value)
    for word in given:
        if not isinstance(word, str):
            raise refusal(name, noun, "must be a list of strings", word)
    return given if isinstance(given, list) else list(given)


def refusal(name: str, noun: str, needed: str, value: object) -> InvalidArgument:
    article = "an" if noun[0] in "aeiou" else "a"
    return InvalidArgument(f"the {name} of {article} {noun} {needed}, not {type(value).__name__}")


def unsendable(noun: str, name: str, error: ValidationError) -> InvalidArgument:
    """The first thing that is wrong with a document made of such attributes."""
    first = error.errors(include_input=False)[0]
    return InvalidArgument(
        f"{noun} {name!r} cannot be sent: its {first['loc'][0]} has a value that does not "
        f"belong there ({first['msg']})"
    )
