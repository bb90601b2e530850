"""The requests of both Python clients: their tokens, repetitions, errors and files."""

from __future__ import annotations

import asyncio
import io
import json
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import jwt
import pytest

from scripted import RETRY, Hold, Reply, Script, answer, problem, scripted, snapshot, stream
from stepwire.client import (
    AsyncClient,
    AsyncSession,
    BadAnswer,
    Client,
    Conflict,
    Forbidden,
    GatewayError,
    InvalidRequest,
    LimitExceeded,
    NoAnswer,
    NotFound,
    NoToken,
    RequestRefused,
    Session,
    Unauthenticated,
    Unavailable,
)
from stepwire_core.errors import InvalidArgument, StepwireError

Do = Callable[..., Any]
SENT = answer({"run_id": "r", "message_id": "m"}, 202)
AWAY = Reply(("",), 503, "text/plain", {"Retry-After": "0"})


@pytest.fixture(params=["AsyncClient", "Client"])
def do(request: pytest.FixtureRequest) -> Do:
    """Makes one call of a session at the script's server: its name, and its arguments."""

    async def awaiting(script: Script, name: str, *args: Any, **options: Any) -> Any:
        client_options = options.pop("client", {})
        async with AsyncClient(script.url, **client_options) as client:
            return await getattr(client.session("s"), name)(*args, **options)

    def blocking(script: Script, name: str, *args: Any, **options: Any) -> Any:
        client_options = options.pop("client", {})
        with Client(script.url, **client_options) as client:
            return getattr(client.session("s"), name)(*args, **options)

    if request.param == "Client":
        return blocking
    return lambda *args, **options: asyncio.run(awaiting(*args, **options))


def failing(do: Do, *replies: Reply, name: str = "send", **options: Any) -> GatewayError:
    options.setdefault("client", {"max_retries": 0})
    with scripted(*replies) as script, pytest.raises(GatewayError) as raised:
        do(script, name, "x", **options)
    return raised.value


def token_until(seconds_s: float) -> str:
    return jwt.encode({"sub": "ada", "exp": int(time.time() + seconds_s)}, "s" * 32)


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad_request", InvalidRequest),
        (401, "unauthenticated", Unauthenticated),
        (403, "forbidden", Forbidden),
        (404, "run_not_found", NotFound),
        (408, "request_timeout", Unavailable),
        (409, "session_full", Conflict),
        (413, "message_too_large", InvalidRequest),
        (422, "invalid_request", InvalidRequest),
        (429, "limit_exceeded", LimitExceeded),
        (500, "internal_error", Unavailable),
        (503, "store_unavailable", Unavailable),
    ],
)
def test_an_error_has_the_kind_of_its_status_and_says_what_the_gateway_says(
    do: Do, status: int, code: str, kind: type[GatewayError]
) -> None:
    error = failing(do, problem(status, code, Retry_After="7"))
    assert type(error) is kind
    assert (error.status, error.code, error.retry_after_s) == (status, code, 7)
    assert str(error) == error.problem["detail"] == f"it is {code}"
    assert isinstance(error, StepwireError)
    assert isinstance(error, RequestRefused) != isinstance(error, Unavailable)


def test_an_error_reaches_another_process_whole(do: Do) -> None:
    error = failing(do, problem(409, "ask_ended"))
    error = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (str(error), error.code, error.status) == ("it is ask_ended", "ask_ended", 409)


def test_a_server_that_is_no_gateway_is_told_from_one_that_is_away(do: Do) -> None:
    too_deep = "[" * 100_000
    for body in ("<html>", "[]", '{"run_id": 7}', "", too_deep):
        assert isinstance(failing(do, Reply((body,), 200, "text/html")), BadAnswer)
    redirected = failing(do, Reply((), 308, "text/plain", {"Location": "https://b.example/"}))
    assert isinstance(redirected, BadAnswer)
    assert "https://b.example/" in str(redirected)
    for body in ("<html>", too_deep):
        away = failing(do, Reply((body,), 504, "text/html"))
        assert (type(away), away.code) == (Unavailable, "bad_answer")


def test_retry_after_may_be_a_date_and_may_be_nonsense(do: Do) -> None:
    later = "Fri, 01 Jan 2100 00:00:00 GMT"
    assert (failing(do, problem(429, "queue_full", Retry_After=later)).retry_after_s or 0) > 1e6
    past = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert failing(do, problem(429, "queue_full", Retry_After=past)).retry_after_s == 0
    for nonsense in ("soon", "-1", "²"):
        headers = {"Retry-After": nonsense} if nonsense.isascii() else {}
        error = failing(do, Reply(("",), 429, "text/plain", headers))
        assert (type(error), error.retry_after_s) == (LimitExceeded, None)


# -- repetitions ----------------------------------------------------------------------------------


def test_a_request_without_an_answer_is_repeated_as_the_same_one(do: Do) -> None:
    with scripted(Reply(is_silent=True), AWAY, SENT) as script:
        sent = do(script, "send", "hi")
    assert (sent.run_id, sent.message_id) == ("r", "m")
    keys = {asked.headers["idempotency-key"] for asked in script.asked}
    assert len(script.asked) == 3
    assert len(keys) == 1
    assert {asked.body for asked in script.asked} == {b'{"content": "hi", "elements": []}'}


def test_another_request_has_another_key(do: Do) -> None:
    with scripted(SENT, SENT) as script:
        do(script, "send", "hi")
        do(script, "send", "hi")
    assert len({asked.headers["idempotency-key"] for asked in script.asked}) == 2


def test_a_refusal_is_not_repeated_nor_a_wait_that_is_long(do: Do) -> None:
    for reply in (problem(409, "session_full"), problem(429, "limit_exceeded", Retry_After="60")):
        with scripted(reply, SENT) as script, pytest.raises(GatewayError):
            do(script, "send", "hi")
        assert len(script.asked) == 1


def test_repetitions_have_an_end(do: Do) -> None:
    with scripted(*[AWAY] * 9) as script, pytest.raises(Unavailable):
        do(script, "send", "hi", client={"max_retries": 3})
    assert len(script.asked) == 4


def test_an_upload_that_is_still_in_progress_is_asked_for_again(do: Do) -> None:
    busy = problem(409, "still_in_progress", Retry_After="0")
    with scripted(busy, answer(ELEMENT, 201)) as script:
        assert do(script, "upload", b"abc").id == "e"
    assert [asked.body for asked in script.asked] == [b"abc", b"abc"]


def test_a_deletion_whose_answer_was_lost_has_succeeded(do: Do) -> None:
    with scripted(Reply(is_silent=True), problem(404, "session_not_found")) as script:
        do(script, "delete")
    with scripted(problem(404, "session_not_found")) as script, pytest.raises(NotFound):
        do(script, "delete")


def test_a_gateway_that_does_not_answer_in_time_is_given_up(do: Do) -> None:
    late = Reply(('{"run_id":', Hold()), 202, "application/json")
    with scripted(late, late) as script, pytest.raises(NoAnswer) as raised:
        do(script, "send", "hi", client={"timeout_s": 0.2, "max_retries": 1})
    assert len(script.asked) == 2
    assert isinstance(raised.value.__cause__, httpx.TimeoutException)


def test_an_address_at_which_nothing_listens_is_named(do: Do) -> None:
    with scripted() as script:
        pass
    with pytest.raises(NoAnswer) as raised:
        do(script, "send", "hi", client={"max_retries": 0})
    assert script.url in str(raised.value)
    assert isinstance(raised.value.__cause__, httpx.ConnectError)


# -- tokens ---------------------------------------------------------------------------------------


def test_a_token_is_sent_and_one_that_is_refused_is_replaced_once(do: Do) -> None:
    reasons: list[str] = []

    def get_token(reason: str) -> str:
        reasons.append(reason)
        return f"t{len(reasons)}"

    with scripted(problem(401, "unauthenticated"), SENT) as script:
        do(script, "send", "hi", client={"get_token": get_token})
    assert reasons == ["first", "refused"]
    assert [asked.headers["authorization"] for asked in script.asked] == ["Bearer t1", "Bearer t2"]

    with scripted(*[problem(401, "unauthenticated")] * 9) as script:
        with pytest.raises(Unauthenticated):
            do(script, "send", "hi", client={"get_token": get_token})
        assert len(script.asked) == 2


def test_a_token_that_stays_the_same_is_not_sent_again_when_it_is_refused(do: Do) -> None:
    with scripted(problem(401, "unauthenticated"), SENT) as script:
        with pytest.raises(Unauthenticated):
            do(script, "send", "hi", client={"token": "t"})
        assert len(script.asked) == 1


def test_a_token_that_ends_soon_is_renewed_before_it_is_used() -> None:
    tokens = [token_until(29.0 + 31), token_until(3600)]
    soon, late = tokens
    reasons: list[str] = []

    def get_token(reason: str) -> str:
        reasons.append(reason)
        return late if reason == "expiring" else soon

    with scripted(SENT, SENT, SENT) as script, Client(script.url, get_token=get_token) as client:
        session = client.session("s")
        session.send("hi")
        client._requests._tokens._ends_at_s = time.time() + 29
        session.send("hi")
        session.send("hi")
    assert reasons == ["first", "expiring"]
    sent = [asked.headers["authorization"] for asked in script.asked]
    assert sent == [f"Bearer {soon}", f"Bearer {late}", f"Bearer {late}"]


def test_a_clock_that_is_off_does_not_ask_for_a_token_with_every_request(do: Do) -> None:
    asked = []

    def get_token(reason: str) -> str:
        asked.append(reason)
        return token_until(-3600)

    with scripted(SENT, SENT) as script, Client(script.url, get_token=get_token) as client:
        client.session("s").send("hi")
        client.session("s").send("hi")
    assert asked == ["first"]


def test_many_requests_at_a_time_ask_for_one_token() -> None:
    asked: list[str] = []

    async def get_token(reason: str) -> str:
        asked.append(reason)
        await asyncio.sleep(0)
        return f"t{len(asked)}"

    async def main(script: Script) -> None:
        async with AsyncClient(script.url, get_token=get_token) as client:
            session = client.session("s")
            await asyncio.gather(*(session.send("hi") for _ in range(8)))

    with scripted(*[SENT] * 8) as script:
        # By its token, not by its turn: one may be sent again before another was sent at all.
        script.refused_token = "t1"
        asyncio.run(main(script))
    assert asked == ["first", "refused"]

    asked.clear()
    with (
        scripted(*[SENT] * 8) as script,
        Client(script.url, get_token=lambda reason: asked.append(reason) or "t") as client,  # type: ignore[func-returns-value]
    ):
        threads = [threading.Thread(target=client.session("s").send, args=["x"]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(script.asked) == 8
    assert asked == ["first"]


def test_a_source_of_tokens_that_fails_is_asked_again_and_its_error_is_the_cause(do: Do) -> None:
    tries: list[str] = []

    def get_token(reason: str) -> str:
        tries.append(reason)
        if len(tries) < 3:
            raise OSError("the identity provider is away")
        return "t"

    with scripted(SENT) as script:
        do(script, "send", "hi", client={"get_token": get_token})
    assert len(tries) == 3
    tries.clear()
    with scripted(SENT) as script, pytest.raises(NoToken) as raised:
        do(script, "send", "hi", client={"get_token": get_token, "max_retries": 0})
    assert isinstance(raised.value.__cause__, OSError)
    assert script.asked == []


@pytest.mark.parametrize("token", ["a\nX-Evil: 1", "", "töken"])
def test_a_token_that_cannot_stand_in_a_header_is_not_told(do: Do, token: str) -> None:
    for options in ({"token": token}, {"get_token": lambda _: token}):
        with scripted(SENT) as script, pytest.raises(InvalidArgument) as raised:
            do(script, "send", "hi", client=options)
        assert not token or token not in str(raised.value)
        assert script.asked == []


def test_a_stream_gets_a_new_token_when_the_old_one_has_ended() -> None:
    tokens = iter(["t1", "t2"])
    refused = problem(401, "unauthenticated")
    with (
        scripted(stream(RETRY, snapshot(1)), refused, stream(RETRY)) as script,
        Client(script.url, get_token=lambda _: next(tokens)) as client,
        pytest.raises(NotFound),
    ):
        list(client.session("s").events())
    sent = [asked.headers["authorization"][-2:] for asked in script.asked]
    assert sent == ["t1", "t1", "t2", "t2"]


# -- what is sent ---------------------------------------------------------------------------------


ELEMENT = {
    "id": "e", "session_id": "s", "run_id": None, "step_id": None, "type": "file", "name": "f",
    "mime": "text/plain", "display": "inline", "size": 3, "sha256": None, "url": "/", "ts": "t",
}  # fmt: skip


class OnceOnly(io.RawIOBase):
    """A file that cannot be rewound, as a pipe."""

    def __init__(self, content: bytes) -> None:
        self._left = content

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        taken, self._left = self._left[:size], self._left[size:]
        return taken


def at_3(content: bytes) -> BinaryIO:
    file = io.BytesIO(b"abc" + content)
    file.seek(3)
    return file


def test_a_file_is_sent_from_where_it_stands_and_again_from_there(do: Do, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    path = tmp_path / "ä b.txt"
    path.write_bytes(content)
    for source, name in ((path, "%C3%A4+b.txt"), (content, "file"), (at_3(content), "file")):
        with scripted(AWAY, answer(ELEMENT, 201)) as script:
            do(script, "upload", source)
        assert [asked.body == content for asked in script.asked] == [True, True]
        assert script.asked[0].path == f"/v1/sessions/s/elements?name={name}"
        assert script.asked[0].headers["content-length"] == str(len(content))
        assert "content-type" not in script.asked[0].headers


def test_a_file_that_cannot_be_rewound_is_sent_once(do: Do) -> None:
    with scripted(AWAY, answer(ELEMENT, 201)) as script, pytest.raises(Unavailable):
        do(script, "upload", OnceOnly(b"abc" * 50_000), mime="text/x-log")
    assert [asked.body for asked in script.asked] == [b"abc" * 50_000]
    assert script.asked[0].headers["content-type"] == "text/x-log"


def test_files_go_up_before_the_message_that_has_them(do: Do) -> None:
    with scripted(answer(ELEMENT, 201), SENT) as script:
        do(script, "send", "look", files=[b"abc"], elements=["earlier"])
    assert json.loads(script.asked[1].body)["elements"] == ["earlier", "e"]


def test_ids_of_others_are_one_segment_of_the_path(do: Do) -> None:
    with scripted(answer({})) as script:
        do(script, "cancel", "../../x?y#z")
    assert script.asked[0].path == "/v1/sessions/s/runs/..%2F..%2Fx%3Fy%23z/cancel"


def test_what_is_no_json_is_refused_before_it_is_sent(do: Do) -> None:
    for bad in (float("nan"), object()):
        with scripted() as script, pytest.raises(InvalidArgument):
            do(script, "run", "task", {"x": bad})
        assert script.asked == []


def test_a_gateway_under_a_path_is_called_there_and_a_given_http_client_stays_open() -> None:
    with scripted(answer({"session_id": "new"}, 201)) as script, httpx.Client() as http_client:
        with Client(f"{script.url}/stepwire/", http_client=http_client) as client:
            assert client.create_session().id == "new"
        assert script.asked[0].path == "/stepwire/v1/sessions"
        assert not http_client.is_closed


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x", "http://", "http://x?a=1", "//x"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    for client in (AsyncClient, Client):
        with pytest.raises(InvalidArgument):
            client(url)


def test_a_client_has_a_token_or_a_source_of_them() -> None:
    with pytest.raises(InvalidArgument):
        Client("http://x", token="a", get_token=lambda _: "b")  # noqa: S106


# -- both clients ---------------------------------------------------------------------------------


def test_both_clients_have_the_same_calls_with_the_same_arguments() -> None:
    import inspect

    def calls(kind: type) -> dict[str, list[str]]:
        names = [name for name in vars(kind) if not name.startswith("_")]
        return {name: [*inspect.signature(getattr(kind, name)).parameters] for name in names}

    assert calls(AsyncSession) == calls(Session)
    ours = calls(AsyncClient)
    ours["close"] = ours.pop("aclose")
    assert ours == calls(Client)
    assert list(inspect.signature(AsyncClient).parameters) == list(
        inspect.signature(Client).parameters
    )
