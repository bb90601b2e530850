"""The start page, which a person sees before a session begins: chat profiles and starters."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from stepwire_core.wire.choices.settings_form import own_element
from stepwire_core.wire.documents import Text
from stepwire_core.wire.events import NewEvent, element_event, user_value_event
from stepwire_core.wire.words import CHAT_PROFILE

HOOKS: Final = ("set_chat_profiles", "set_starters", "set_starter_categories")
"""The user's functions that return its parts."""


class _Document(BaseModel):
    # A field of a newer version is passed on.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="allow", json_schema_serialization_defaults_required=True
    )


class StarterDocument(_Document):
    """A question to begin with."""

    label: Text
    message: Text
    """The message to send when it is chosen."""
    command: Text | None = None
    icon: Text | None = None


class StarterCategoryDocument(_Document):
    """Starters that belong together."""

    label: Text
    icon: Text | None = None
    starters: list[StarterDocument] = Field(default_factory=list)


class ChatProfileDocument(_Document):
    """A kind of conversation, which the creator of a session chooses by its name."""

    name: Text
    markdown_description: Text
    icon: Text | None = None
    display_name: Text | None = None
    default: bool = False
    starters: list[StarterDocument] | None = None
    """Those of this profile alone; null: those of all."""
    config_overrides: JsonValue = None
    """For a page of the application's own, which gives it a meaning."""


class StartPage(_Document):
    """The start page, which is shown before a session begins."""

    chat_profiles: list[ChatProfileDocument] = Field(default_factory=list)
    chat_profile: str | None = None
    """The name of the profile that the rest is for: the one that was asked for, else the default
    one. Null: there are none."""
    starters: list[StarterDocument] = Field(default_factory=list)
    starter_categories: list[StarterCategoryDocument] = Field(default_factory=list)
    failed: list[str] = Field(default_factory=list)
    """Functions of the application that have failed: what they say is missing."""


class Offers(_Document):
    """The results of all these functions for one person, as a worker hands them to gateways."""

    at_s: float
    """When they were asked."""
    chat_profiles: list[ChatProfileDocument] = Field(default_factory=list)
    starters: list[StarterDocument] = Field(default_factory=list)
    categories: dict[str, list[StarterCategoryDocument]] = Field(default_factory=dict)
    """For each profile by its name, and for none at ``""``."""
    failed: list[str] = Field(default_factory=list)

    def profile(self, name: str) -> ChatProfileDocument | None:
        return next((profile for profile in self.chat_profiles if profile.name == name), None)

    @property
    def default(self) -> ChatProfileDocument | None:
        return default_profile(self.chat_profiles)

    def page(self, profile: ChatProfileDocument | None) -> StartPage:
        """The start page with that profile chosen."""
        own = None if profile is None else profile.starters
        name = None if profile is None else profile.name
        return StartPage(
            chat_profiles=self.chat_profiles,
            chat_profile=name,
            starters=self.starters if own is None else own,
            starter_categories=self.categories.get(name or "", []),
            failed=self.failed,
        )


def default_profile(profiles: list[ChatProfileDocument]) -> ChatProfileDocument | None:
    """The one that says so, else the first."""
    marked = (profile for profile in profiles if profile.default)
    return next(marked, profiles[0] if profiles else None)


def profile_events(
    session_id: str, profile: ChatProfileDocument, *, run_id: str | None = None
) -> list[NewEvent]:
    """What gives a session its profile: its handlers read the name, its clients get an element."""
    props: dict[str, Any] = profile.model_dump(exclude={"starters", "default"})
    return [
        user_value_event(CHAT_PROFILE, json.dumps(profile.name)),
        element_event(own_element(session_id, CHAT_PROFILE, profile.name, props, run_id=run_id)),
    ]
