"""What all elements have in common: bytes, stored once, and a place where they are shown."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar, get_args
from urllib.parse import unquote, urlsplit
from uuid import UUID

from stepwire._scope.context import current_frame
from stepwire._transport.threads import in_thread
from stepwire._values.attributes import Checked, own_id, text, text_or_none, unsendable
from stepwire._values.json_form import jsonable
from stepwire_core.errors import InvalidArgument
from stepwire_core.values import media_types
from stepwire_core.values.clock import now
from stepwire_core.values.ids import check_id, new_id
from stepwire_core.values.text import require_size, whole
from stepwire_core.wire.events import element_event, element_remove_event
from stepwire_core.wire.words import ElementDisplay

if TYPE_CHECKING:
    from typing import Self

    from stepwire._scope.context import Scope
    from stepwire_core.wire.documents import ElementDocument
    from stepwire_core.wire.events import NewEvent

ElementSize = Literal["small", "medium", "large"]
BinaryFile: TypeAlias = io.BufferedReader | io.BytesIO

T = TypeVar("T")


def _media_type(mime: object, _name: str, _noun: str) -> str | None:
    if mime is None or (isinstance(mime, str) and media_types.is_valid(mime)):
        return mime
    raise InvalidArgument(f"mime {mime!r} is not a media type; give one such as 'image/png'")


def _display(value: ElementDisplay, name: str, _noun: str) -> ElementDisplay:
    return _one_of(value, get_args(ElementDisplay), name)


def _size(value: ElementSize | None, name: str, _noun: str) -> ElementSize | None:
    return _one_of(value, (None, *get_args(ElementSize)), name)


def _one_of(value: T, allowed: Sequence[Any], what: str) -> T:
    if value not in allowed:
        raise InvalidArgument(
            f"{what} {value!r} is not known: give one of {', '.join(filter(None, allowed))}"
        )
    return value


class Element:
    """Something to show beside text: an ``Image``, a ``File`` and so on, made from exactly one of
    ``content``, ``path`` and ``url``.

    Give it to a step or message (``elements=[…]``), or :meth:`send` it by itself. Its bytes are
    stored when it is sent, once, where every gateway can serve them: in Redis with the session, or
    in object storage if they are more than ``STEPWIRE_ELEMENTS_REDIS_BYTES``.

    Args:
        name: What users see; by default the name of the file, else the type.
        content: The bytes, or text (stored as UTF-8).
        path: A file that this process can read; it is read when the element is sent.
        url: Where it lies already, ``http(s)://…`` or ``/…``; clients fetch it there, stepwire
            never does.
        display: ``inline``, ``side`` or ``page``.
        mime: Its media type; by default what name, path or url suggest, else the first bytes.
        size: How large to show it: ``small``, ``medium`` or ``large``.
        language: How to highlight it.
        id: Its id; by default a fresh one.

    Raises:
        InvalidArgument: no source, or two; a value that cannot be shown or stored.
    """

    type: ClassVar[str] = "file"
    _mime: ClassVar[str | None] = None
    """What it is, whatever its name says; a ``mime`` that is given wins."""
    _family: ClassVar[str] = ""
    """What its media type begins with; a name that suggests another is not believed."""

    _has_bytes: ClassVar[bool] = True

    id: Checked[str, str | UUID] = Checked(own_id, fixed_once_sent=True)
    name: Checked[str, str] = Checked(text)
    display: Checked[ElementDisplay, ElementDisplay] = Checked(_display)
    mime: Checked[str | None, str | None] = Checked(_media_type)
    size: Checked[ElementSize | None, ElementSize | None] = Checked(_size)
    language: Checked[str | None, str | None] = Checked(text_or_none)

    def __init__(
        self,
        name: str | None = None,
        *,
        content: bytes | bytearray | memoryview | str | None = None,
        path: str | os.PathLike[str] | None = None,
        url: str | None = None,
        display: ElementDisplay = "inline",
        mime: str | None = None,
        size: ElementSize | None = None,
        language: str | None = None,
        id: str | UUID | None = None,
    ) -> None:
        _check_sources(type(self).__name__, content=content, path=path, url=url)
        self.id = new_id() if id is None else id
        self.url: str | None = None if url is None else _checked_url(url)
        self.name = name or _default_name(path, url) or self.type
        self.content = content
        self.path: Path | None = None if path is None else Path(path)
        self.display = display
        self.mime = mime
        self.size = size
        self.language = language
        self.for_id: str | None = None
        self._scope: Scope | None = None
        self._document: ElementDocument | None = None
        self._state: Literal["new", "stored", "shown", "removed"] = "new"

    @classmethod
    def _received(cls, document: ElementDocument, scope: Scope, path: Path) -> Self:
        """A file that a person has sent; it is in the session already."""
        element = cls(
            name=document.name,
            path=path,
            # Another version may have made it.
            display="page" if document.display == "page" else "inline",
            mime=document.mime,
            id=document.id,
        )
        element.for_id = document.step_id
        element._scope, element._document, element._state = scope, document, "shown"
        return element

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, id {self.id!r}>"

    def __str__(self) -> str:
        """What stands for it in a step, as where it is an argument."""
        return self.name

    @property
    def _is_sent(self) -> bool:
        return self._state in ("stored", "shown")

    async def send(self, for_id: str | UUID | None = None) -> Self:
        """Show it with a step or message; once, however often it is called.

        Args:
            for_id: The id of that step or message; by default of the step around the running code,
                else of the message that started the run.

        Raises:
            InvalidArgument: its file cannot be read, or it is too large (``ElementTooLarge``).
            NoActiveSession: outside any session.
            RunFenced, RunEnded, SessionNotFound, StoreUnavailable: nothing more can be stored.
        """
        frame = current_frame(f"element {self.name!r}")
        step_id = frame.parent_id if for_id is None else check_id(for_id, "step")
        if self._state in ("new", "removed"):
            await in_thread(self._store, frame.scope, step_id)
        frame.scope.producer.publish(*self._announcement())
        await frame.scope.producer.room()
        return self

    async def remove(self) -> None:
        """Take it away from everywhere, with its bytes. Not sent, it does nothing.

        Raises:
            RunFenced, RunEnded, SessionNotFound, StoreUnavailable: it could not be removed.
        """
        scope = self._scope
        if scope is None or self._state != "shown":
            return
        scope.producer.publish(element_remove_event(self.id))
        self._state = "removed"
        if self.url is None and self._has_bytes:
            # After the event is stored: no client may be shown an element whose bytes are gone.
            await scope.producer.flush()
            await in_thread(scope.producer.contents.remove_objects, scope.session_id, [self.id])

    async def _send_beside(self, scope: Scope, *, again: bool) -> None:
        """Show it with no step, unless one shows it; ``again``: it was, and is gone since."""
        if self.for_id is None and self._is_sent and (again or not self._has_bytes):
            self._state = "new"
        if self._state in ("new", "removed"):
            self.for_id = None
            await in_thread(self._store, scope, None)
        scope.producer.publish(*self._announcement())
        await scope.producer.room()

    # -- sending, for steps and messages --------------------------------------------------------

    def _store(self, scope: Scope, step_id: str | None) -> None:
        """Put its bytes in place; blocking. No client sees it before its announcement."""
        from pydantic import ValidationError

        from stepwire_core.wire.documents import ElementDocument

        scope.producer.require()
        props = jsonable(self._props())
        says = json.dumps([self.name, self.url, self.mime, props])
        limit = scope.producer.settings.max_event_bytes
        require_size(f"element {self.name[:100]!r} without its content", says, limit)
        size, sha256, head = None, None, b""
        if self._has_bytes and not self.url:
            size, sha256, head = self._store_bytes(scope)
        try:
            self._document = ElementDocument(
                id=self.id,
                session_id=scope.session_id,
                run_id=scope.run_id or None,
                step_id=step_id,
                type=self.type,
                name=self.name,
                mime=self.mime or self._guessed(head),
                display=self.display,
                size=size,
                sha256=sha256,
                url=self.url or f"/v1/sessions/{scope.session_id}/elements/{self.id}",
                props=props,
                ts=now(),
            )
        except ValidationError as error:
            raise unsendable("element", self.name, error) from error
        self._scope, self.for_id, self._state = scope, step_id, "stored"

    def _announcement(self) -> list[NewEvent]:
        """The event that shows it, if its bytes are in place; the first time alone."""
        if self._document is None or self._state != "stored":
            return []
        self._state = "shown"
        return [element_event(self._document)]

    @property
    def _is_new(self) -> bool:
        """Whether its bytes are yet to be stored."""
        return self._state == "new"

    @property
    def _is_elsewhere(self) -> bool:
        """Whether it is shown, and with no step."""
        return self._is_sent and self.for_id is None

    def _is_with(self, step_id: str) -> bool:
        """Whether that step shows it."""
        return self.for_id == step_id and self._is_sent

    def _again(self) -> Self:
        """The same thing with an id of its own, to be sent with another step."""
        again = copy.copy(self)
        vars(again).update(for_id=None, _document=None, _state="new")
        again.id = new_id()
        return again

    def _store_bytes(self, scope: Scope) -> tuple[int, str, bytes]:
        what = f"element {self.name!r}"
        store = scope.producer.contents
        with self._opened(what) as (file, size):
            store.check(what, size)
            head = file.read(media_types.HEAD_BYTES)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            scope.producer.put_bytes(self.id, file, size)
        return size, sha256, head

    def _guessed(self, head: bytes) -> str:
        if self._mime is not None:
            return self._mime
        for name in (self.name, self.path and self.path.name, self.url and _url_path(self.url)):
            by_name = media_types.by_name(str(name)) if name else None
            if by_name is not None and by_name.startswith(self._family):
                return by_name
        return media_types.by_head(head) or media_types.UNKNOWN

    def _props(self) -> dict[str, Any]:
        """The facts that a client needs beside the bytes."""
        given = {"size": self.size, "language": self.language}
        return {key: value for key, value in given.items() if value is not None}

    @contextmanager
    def _opened(self, what: str) -> Iterator[tuple[BinaryFile, int]]:
        """Its bytes as a file, and how many they are."""
        if self.path is None:
            given = self.content
            content = whole(given).encode() if isinstance(given, str) else given
            yield io.BytesIO(content or b""), len(content or b"")
            return
        try:
            file = self.path.open("rb")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InvalidArgument(
                f"{what}: cannot read {str(self.path)!r} ({reason}); give a path that this worker "
                f"can read (its working directory is {str(Path.cwd())!r}), or the content itself"
            ) from error
        with file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InvalidArgument(f"{what}: {str(self.path)!r} is not a regular file")
            yield file, status.st_size


def _check_sources(class_: str, **sources: object) -> None:
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        have = " and ".join(given) or "none"
        raise InvalidArgument(f"{class_} takes one of content, path and url; it was given {have}")
    content, path = sources["content"], sources["path"]
    if not isinstance(content, (bytes, bytearray, memoryview, str, NoneType)):
        raise InvalidArgument(f"content takes bytes or text, not {kind(content)}")
    if not isinstance(path, (str, os.PathLike, NoneType)):
        raise InvalidArgument(f"path takes the path of a file, not {kind(path)}")


def _default_name(path: str | os.PathLike[str] | None, url: str | None) -> str:
    return Path(path).name if path is not None else posixpath.basename(_url_path(url or ""))


def _url_path(url: str) -> str:
    return unquote(urlsplit(url).path)


def _checked_url(url: object) -> str:
    # A `javascript:` or `data:` address would run in the page that shows it.
    if (
        not isinstance(url, str)
        or not re.match(r"https?://[^/]|/(?!/)", url, re.IGNORECASE)
        or not _is_address(url)
    ):
        raise InvalidArgument(f"url {url!r} is not of the form http://…, https://… or /…")
    return url


def _is_address(url: str) -> bool:
    try:
        urlsplit(url).port  # noqa: B018 - it is parsed when it is asked for
    except ValueError:
        return False
    return True


def kind(value: object) -> str:
    """The kind of a value, for a message about it."""
    return type(value).__name__
