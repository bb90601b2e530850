"""How a person's words at a command line answer a question, or change settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stepwire_cli.printable import one_line
from stepwire_core.errors import InvalidArgument, SettingsNotFound
from stepwire_core.log import answers
from stepwire_core.values.ids import new_id
from stepwire_core.values.media_types import UNKNOWN, by_name
from stepwire_core.wire.choices.settings_form import inputs_of, values_of
from stepwire_core.wire.documents import Submission
from stepwire_core.wire.user_messages import uploaded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stepwire_core.wire.documents import AskDocument, ElementDocument

SHOWN_ID_CHARS = 8
"""The length of a shown id, which is enough to name an ask by."""


def chosen_ask(known: Sequence[AskDocument], wanted: str | None) -> AskDocument:
    """The ask of that id, or whose id begins so; without one, the only open ask.

    Raises:
        InvalidArgument: no ask fits, or more than one does.
    """
    if wanted is None:
        found = [ask for ask in known if ask.status == "open"]
    else:
        found = [ask for ask in known if ask.id == wanted] or [
            ask for ask in known if ask.id.startswith(wanted)
        ]
    if not found:
        raise InvalidArgument(
            "no question is open in this session"
            if wanted is None
            else f"no question {wanted!r} in this session: 'stepwire tail' shows the questions"
        )
    if len(found) > 1:
        ids = ", ".join(f"{ask.id[:SHOWN_ID_CHARS]} ({ask.kind})" for ask in found)
        raise InvalidArgument(f"{len(found)} questions are open: choose one with --ask: {ids}")
    return found[0]


def given_answer(
    ask: AskDocument, text: str, files: Sequence[Path]
) -> tuple[str | None, str | None]:
    """What the answer says besides its files: a text, or the id of an action.

    Raises:
        InvalidArgument: the answer does not fit; the message says which answers do.
    """
    _check_kind(ask, text, files)
    if ask.kind == "action":
        return None, _action(ask, text)
    if ask.kind == "text":
        return text, None
    # By the gateway's own rules, so that nothing is uploaded that it would refuse then.
    answers.ended(
        ask, answers.Answer(id=new_id(), files=[_as_element(ask, file) for file in files])
    )
    return None, None


def given_submission(
    ask: AskDocument, text: str, files: Sequence[Path], *, cancel: bool
) -> Submission:
    """What an element submits: a JSON object, or nothing if it is cancelled.

    Raises:
        InvalidArgument: the answer does not fit.
    """
    props = None if not text else _value(text)
    if files or (cancel and text) or not (cancel or isinstance(props, dict)):
        raise InvalidArgument(
            f"question {ask.id[:SHOWN_ID_CHARS]} takes a JSON object, such as "
            """'{"city": "Rome"}', or --cancel, and no files"""
        )
    return Submission(submitted=not cancel, props=props if isinstance(props, dict) else {})


def given_settings(words: Sequence[str]) -> dict[str, Any]:
    """The values of ``input=value`` words.

    Raises:
        InvalidArgument: one is not of this form.
    """
    given = {}
    for word in words:
        id_, separator, value = word.partition("=")
        if not separator or not id_:
            raise InvalidArgument(f"{word!r} is not of the form input=value: temperature=0.5")
        given[id_] = _value(value)
    return given


def shown_settings(session_id: str, form: ElementDocument | None) -> list[str]:
    """The form of a session, in a line for each input.

    Raises:
        SettingsNotFound: the session has no form.
    """
    if form is None:
        raise SettingsNotFound(session_id)
    values = values_of(form.props)
    return [
        f"{one_line(id_)}={json.dumps(values[id_], ensure_ascii=False)}  "
        f"{one_line(str(item.get('label')))} ({one_line(str(item.get('type')))})"
        for id_, item in inputs_of(form.props).items()
    ]


def _value(text: str) -> Any:
    """JSON, or else the text as it stands."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _check_kind(ask: AskDocument, text: str, files: Sequence[Path]) -> None:
    wanted = {
        "text": "a text, and no files",
        "action": f"one of these words, and no files: {_names(ask)}",
        "file": "files, given with --file, and no text",
    }.get(ask.kind)
    if wanted is None:
        raise InvalidArgument(
            f"question {ask.id[:SHOWN_ID_CHARS]} is of kind {ask.kind!r}, which this version of "
            "stepwire does not know: answer it with a newer one"
        )
    fits = bool(files) and not text if ask.kind == "file" else bool(text) and not files
    if not fits:
        raise InvalidArgument(f"question {ask.id[:SHOWN_ID_CHARS]} takes {wanted}")


def _action(ask: AskDocument, word: str) -> str:
    """Its id, by id, name or label; of a label, small and capital letters are the same."""
    for action in ask.actions:
        if word in (action.id, action.name) or word.casefold() == action.label.casefold():
            return action.id
    raise InvalidArgument(f"{word!r} is not an answer to this question: choose {_names(ask)}")


def _names(ask: AskDocument) -> str:
    return ", ".join(one_line(action.name) for action in ask.actions)


def _as_element(ask: AskDocument, file: Path) -> ElementDocument:
    mime = by_name(file.name) or UNKNOWN
    size = file.stat().st_size
    return uploaded(ask.session_id, new_id(), file.name, mime, size=size, sha256="")
