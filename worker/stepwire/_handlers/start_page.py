"""The parts of the start page, as the user's functions return them: chat profiles and starters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from stepwire._values.json_form import jsonable
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.lists import items_of

if TYPE_CHECKING:
    # Where documents are made they are loaded: `import stepwire` makes none.
    from stepwire_core.wire.choices.start_page import (
        ChatProfileDocument,
        StarterCategoryDocument,
        StarterDocument,
    )

T = TypeVar("T")


@dataclass
class Starter:
    """A question that a page offers to begin with.

    Args:
        label: The text of the button.
        message: The message that is sent when it is chosen.
        command: Sent with it, as ``command`` in the message's metadata.
        icon: The name or address of an icon, for the page.

    Raises:
        InvalidArgument: a parameter is not a text.
    """

    label: str
    message: str
    command: str | None = None
    icon: str | None = None

    def __post_init__(self) -> None:
        _require_texts(self, "label", "message")
        _require_texts_or_none(self, "command", "icon")


@dataclass
class StarterCategory:
    """Starters that belong together, under a ``label``, with the name or address of an ``icon``.

    Raises:
        InvalidArgument: a parameter has a value that cannot be shown.
    """

    label: str
    icon: str | None = None
    starters: Sequence[Starter] = field(default_factory=list)

    def __post_init__(self) -> None:
        _require_texts(self, "label")
        _require_texts_or_none(self, "icon")
        self.starters = list_of(Starter, self.starters, "the starters of a StarterCategory")


@dataclass
class ChatProfile:
    """A kind of conversation, which a person chooses before it begins.

    Handlers read its ``name`` as ``cl.user_session.get("chat_profile")``.

    Args:
        name: The name that your code uses.
        markdown_description: A description for people, as Markdown.
        icon: The name or address of an icon, for the page.
        display_name: The name that people see; by default ``name``.
        default: Whether it is the one that is chosen by default; else the first one is.
        starters: Its own questions to begin with; None: those of ``set_starters``.
        config_overrides: JSON-able facts for a page of your own.

    Raises:
        InvalidArgument: a parameter has a value that cannot be shown.
    """

    name: str
    markdown_description: str
    icon: str | None = None
    display_name: str | None = None
    default: bool = False
    starters: Sequence[Starter] | None = None
    config_overrides: Any = None

    def __post_init__(self) -> None:
        _require_texts(self, "name", "markdown_description")
        _require_texts_or_none(self, "icon", "display_name")
        if not self.name:
            raise InvalidArgument("a ChatProfile needs a name")
        if self.starters is not None:
            self.starters = list_of(Starter, self.starters, "the starters of a ChatProfile")


def list_of(kind: type[T], value: object, what: str) -> list[T]:
    """``value`` as a list of these; None is empty.

    Raises:
        InvalidArgument: it is something else, or holds something else.
    """
    noun = f"cl.{kind.__name__}"
    given = [] if value is None else value
    return items_of(
        kind, given, expected=f"{what}: a list of {noun}", item=f"{what}: each is a {noun}"
    )


def _starter(starter: Starter) -> StarterDocument:
    from stepwire_core.wire.choices.start_page import StarterDocument

    return StarterDocument(
        label=starter.label, message=starter.message, command=starter.command, icon=starter.icon
    )


def _category(category: StarterCategory) -> StarterCategoryDocument:
    from stepwire_core.wire.choices.start_page import StarterCategoryDocument

    starters = [_starter(starter) for starter in category.starters]
    return StarterCategoryDocument(label=category.label, icon=category.icon, starters=starters)


def _profile(profile: ChatProfile) -> ChatProfileDocument:
    from stepwire_core.wire.choices.start_page import ChatProfileDocument

    own = profile.starters
    return ChatProfileDocument(
        name=profile.name,
        markdown_description=profile.markdown_description,
        icon=profile.icon,
        display_name=profile.display_name,
        default=bool(profile.default),
        starters=None if own is None else [_starter(starter) for starter in own],
        config_overrides=jsonable(profile.config_overrides),
    )


def profiles_of(value: object) -> list[ChatProfileDocument]:
    """The documents of the profiles that ``set_chat_profiles`` has returned.

    Raises:
        InvalidArgument: it is not a list of profiles, or two have one name.
    """
    profiles = list_of(ChatProfile, value, "set_chat_profiles returns")
    if len({profile.name for profile in profiles}) < len(profiles):
        raise InvalidArgument("set_chat_profiles returns two profiles with the same name")
    return [_profile(profile) for profile in profiles]


def starters_of(value: object) -> list[StarterDocument]:
    """The documents of the starters that ``set_starters`` has returned.

    Raises:
        InvalidArgument: it is not a list of starters.
    """
    return [_starter(each) for each in list_of(Starter, value, "set_starters returns")]


def categories_of(value: object) -> list[StarterCategoryDocument]:
    """The documents of the categories that ``set_starter_categories`` has returned.

    Raises:
        InvalidArgument: it is not a list of categories.
    """
    found = list_of(StarterCategory, value, "set_starter_categories returns")
    return [_category(each) for each in found]


def _require_texts(of: object, *names: str) -> None:
    for name in names:
        if not isinstance(value := getattr(of, name), str):
            raise InvalidArgument(
                f"the {name} of a {type(of).__name__} is a text, not {type(value).__name__}"
            )


def _require_texts_or_none(of: object, *names: str) -> None:
    _require_texts(of, *(name for name in names if getattr(of, name) is not None))
