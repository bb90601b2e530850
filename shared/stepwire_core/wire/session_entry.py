"""A session as a list shows it."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, WithJsonSchema

from stepwire_core.errors import InvalidArgument
from stepwire_core.values.text import whole

SessionStatus = Literal["idle", "running", "ok", "error", "cancelled", "interrupted"]
"""``idle``: no run has begun yet. ``running``: a run is under way, or will be tried again. Else the
status of the run that ended last."""

MAX_TITLE_CHARS: Final = 200

MESSAGE_TITLE_CHARS: Final = 80
"""Of a title that is the beginning of a message."""

# Controls, what separates lines, and marks that hide or turn around what follows.
_UNSEEN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


class SessionEntry(BaseModel):
    """A session, in a list of them."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    id: str
    title: str | None = None
    """One line of at most :data:`MAX_TITLE_CHARS` characters; None: it has none yet."""
    status: Annotated[
        str, WithJsonSchema({"type": "string", "enum": list(get_args(SessionStatus))})
    ] = "idle"
    """One of :data:`SessionStatus`, or a newer version's."""
    created_at: str
    updated_at: str
    """When a run of it began or ended, a message came, or its title changed, the last time."""
    subject: str | None = None
    """Whose session it is; None: it is not known, or not for this caller."""


def as_title(text: object, *, most: int = MAX_TITLE_CHARS) -> str:
    """``text`` as a title: one line, without what cannot be seen; a longer one is cut off, with a
    mark.

    Raises:
        InvalidArgument: it is not a text, or nothing of it can be seen.
    """
    if not isinstance(text, str):
        raise InvalidArgument(f"a title is a text, not {type(text).__name__}")
    # A page shows one line, so a long text is not looked at as a whole.
    title = " ".join(_UNSEEN.sub(" ", whole(text[: most * 20])).split())
    if not title:
        raise InvalidArgument("a title needs a character that can be seen: give it some words")
    return title if len(title) <= most else title[: most - 1].rstrip() + "…"


def title_of_message(content: str) -> str | None:
    """The title of a session that begins with this message; None: it has no words."""
    try:
        return as_title(content, most=MESSAGE_TITLE_CHARS)
    except InvalidArgument:
        return None
