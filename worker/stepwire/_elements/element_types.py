"""The kinds of elements: images, files, tables, charts."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Final

from stepwire._elements.element_base import Element, kind
from stepwire._values.attributes import flag
from stepwire._values.json_form import jsonable
from stepwire_core.errors import InvalidArgument

JSON_TYPE: Final = "application/json"


class Text(Element):
    """Text that is too long for a message, or code: ``cl.Text(name="log", content=…)``."""

    type = "text"
    _mime = "text/plain"


class Image(Element):
    """An image, as a file or as the bytes of one: ``cl.Image(name="cat", path="cat.jpg")``."""

    type = "image"
    _family = "image/"


class File(Element):
    """Anything that is offered for download."""

    type = "file"


class Pdf(Element):
    """A PDF document; ``page`` is the one to open it at."""

    type = "pdf"
    _mime = "application/pdf"

    def __init__(self, name: str | None = None, *, page: int | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        if page is not None and (not isinstance(page, int) or isinstance(page, bool)):
            raise InvalidArgument(f"page takes the number of a page, not {kind(page)}")
        self.page = page

    def _props(self) -> dict[str, Any]:
        return super()._props() | ({} if self.page is None else {"page": self.page})


class Audio(Element):
    """A recording; ``auto_play`` starts it as soon as it is shown."""

    type = "audio"
    _family = "audio/"

    def __init__(self, name: str | None = None, *, auto_play: bool = False, **options: Any) -> None:
        super().__init__(name, **options)
        self.auto_play: bool = flag(auto_play, "auto_play", "element")

    def _props(self) -> dict[str, Any]:
        return super()._props() | {"auto_play": self.auto_play}


class Video(Element):
    """A film; ``player_config`` are hints to the player of the page that shows it."""

    type = "video"
    _family = "video/"

    def __init__(
        self,
        name: str | None = None,
        *,
        player_config: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        if not isinstance(player_config, (Mapping, NoneType)):
            raise InvalidArgument(f"player_config takes a dict, not {kind(player_config)}")
        self.player_config = player_config

    def _props(self) -> dict[str, Any]:
        config = {} if self.player_config is None else {"player_config": dict(self.player_config)}
        return super()._props() | config


class Json(Element):
    """A structure to be looked into: ``cl.Json(name="answer", content={"a": 1})``.

    ``content`` is any structure, or a string that is JSON already.

    Raises:
        InvalidArgument: the string is not JSON.
    """

    type = "json"
    _mime = JSON_TYPE

    def __init__(self, name: str | None = None, *, content: Any = None, **options: Any) -> None:
        if isinstance(content, (str, bytes, bytearray)):
            try:
                content = _strict(content)
            except (ValueError, RecursionError) as error:
                raise InvalidArgument(
                    f"the content of Json is a string that is not JSON ({error}): give the "
                    "structure itself, or use Text"
                ) from error
        elif content is not None:
            content = json.dumps(jsonable(content), ensure_ascii=False)
        super().__init__(name, content=content, **options)


class Dataframe(Element):
    """A table: ``cl.Dataframe(name="sales", data=frame)``.

    ``data`` is a pandas DataFrame, or anything else with ``to_json(orient="split")``, a polars one,
    or a list of dicts. Clients get ``{"columns": […], "index": […], "data": [[…], …]}``.

    Raises:
        InvalidArgument: it is none of these.
    """

    type = "dataframe"
    _mime = JSON_TYPE

    def __init__(self, name: str | None = None, *, data: Any, **options: Any) -> None:
        _refuse_sources("Dataframe", "data", options)
        super().__init__(name, content=_split(data), **options)


class Plotly(Element):
    """An interactive chart: ``cl.Plotly(name="chart", figure=figure)``.

    ``figure`` is a plotly figure (anything with ``to_json()``), or the dict of one.

    Raises:
        InvalidArgument: it is none of these.
    """

    type = "plotly"
    _mime = JSON_TYPE

    def __init__(self, name: str | None = None, *, figure: Any, **options: Any) -> None:
        _refuse_sources("Plotly", "figure", options)
        if isinstance(figure, Mapping):
            content = json.dumps(jsonable(dict(figure)), ensure_ascii=False)
        elif callable(getattr(figure, "to_json", None)):
            content = _written("figure", figure.to_json())
        else:
            raise InvalidArgument(
                f"figure takes a plotly figure or the dict of one, not {kind(figure)}"
            )
        super().__init__(name, content=content, **options)


class Pyplot(Element):
    """A matplotlib figure, as the picture that it is now: ``cl.Pyplot(name="chart",
    figure=figure)``.

    Raises:
        InvalidArgument: it is not a figure.
    """

    type = "image"
    _mime = "image/png"

    def __init__(self, name: str | None = None, *, figure: Any, **options: Any) -> None:
        _refuse_sources("Pyplot", "figure", options)
        if not callable(getattr(figure, "savefig", None)):
            raise InvalidArgument(f"figure takes a matplotlib figure, not {kind(figure)}")
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=200, bbox_inches="tight", backend="Agg")
        super().__init__(name or "figure", content=picture.getvalue(), **options)


def _strict(text: str | bytes | bytearray) -> str | bytes | bytearray:
    """JSON as it is; where it has NaN or other things that only Python reads, written anew."""
    from pydantic_core import from_json

    try:
        from_json(text, allow_inf_nan=False)
    except ValueError:
        return json.dumps(jsonable(json.loads(text)), ensure_ascii=False)
    return text


def _written(what: str, text: object) -> str:
    """The result of a foreign ``to_json``, as JSON that every browser reads."""
    if not isinstance(text, str):
        raise InvalidArgument(f"{what}: its to_json() returned {kind(text)}, not the text of JSON")
    if "NaN" not in text and "Infinity" not in text:
        # It may be large: what is written as JSON is not all parsed once more.
        return text
    try:
        return str(_strict(text))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"{what}: its to_json() returned something that is not JSON ({error})"
        ) from error


def _split(data: Any) -> str:
    """A table as pandas writes it with ``orient="split"``."""
    if callable(getattr(data, "to_json", None)):
        try:
            text = data.to_json(orient="split", date_format="iso")
        except TypeError as error:
            raise InvalidArgument(
                f"data takes a DataFrame or a list of dicts, not {kind(data)}, whose to_json() "
                f"does not write tables ({error})"
            ) from error
        return _written("data", text)
    rows = data.to_dicts() if callable(getattr(data, "to_dicts", None)) else data
    if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
        raise InvalidArgument(
            f"data takes a DataFrame or a list of dicts, one for each row, not {kind(data)}"
        )
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = {
        "columns": columns,
        "index": list(range(len(rows))),
        "data": [[row.get(column) for column in columns] for row in rows],
    }
    return json.dumps(jsonable(table), ensure_ascii=False)


def _refuse_sources(class_: str, source: str, options: Mapping[str, Any]) -> None:
    if other := {"content", "path", "url"} & options.keys():
        raise InvalidArgument(f"{class_} is made from {source}, not from {', '.join(other)}")
