"""The gateway does what its OpenAPI document says, whatever it is sent: schemathesis."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from schemathesis import Case, GenerationMode

from stack import Gateway, Stack, wait_until
from stepwire_core.settings import Settings
from stepwire_gateway import create_app
from tokens import API_KEY, SECRET, bearer, token

GUARDED = Settings(auth_secrets=SecretStr(SECRET), api_keys=SecretStr(API_KEY))

ENDLESS = {"/v1/events"}
"""A stream that is there whatever is asked for, and does not end; test_session_list.py has what it
refuses."""

bounded = settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
refused_at_the_door = settings(bounded, max_examples=4)
"""For callers whose requests are hardly looked at."""


def operations(of: Settings) -> list[Any]:
    schema: Any = schemathesis.openapi.from_dict(create_app(of).openapi())
    found = [result.ok() for result in schema.get_all_operations()]
    return [operation for operation in found if operation.path not in ENDLESS]


def cases(operation: Any) -> st.SearchStrategy[Case[Any]]:
    """Requests that the document allows, and requests that it does not."""
    strategies: list[st.SearchStrategy[Case[Any]]] = [
        operation.as_strategy(generation_mode=mode)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]
    return st.one_of(strategies).filter(is_judged_by_the_document)


def is_judged_by_the_document(case: Case[Any]) -> bool:
    """Whether a subject fits the pattern that it stands in is more than a schema can say; and what
    says a wrong length of itself is no HTTP, which the server answers before the application."""
    headers = {name.lower() for name in case.headers or {}}
    return "{sub}" not in str(case.body) and not headers & {"content-length", "transfer-encoding"}


every_open_operation = pytest.mark.parametrize("operation", operations(Settings()), ids=str)
every_guarded_operation = pytest.mark.parametrize("operation", operations(GUARDED), ids=str)


APP = """
    import stepwire as cl

    @cl.on_message
    async def main(message):
        pass
"""


@pytest.fixture(scope="module")
def working(shared_stack: Stack) -> Stack:
    """With a worker: without one it is not known what a page offers."""
    shared_stack.worker(APP)
    workers = f"{shared_stack.queue}:workers"
    wait_until(lambda: bool(shared_stack.redis.zcard(workers)), "the worker is registered")
    return shared_stack


@pytest.fixture(scope="module")
def open_gateway(working: Stack) -> Gateway:
    return working.gateway()


@pytest.fixture(scope="module")
def guarded(working: Stack) -> Gateway:
    return working.gateway(STEPWIRE_AUTH_SECRETS=SECRET, STEPWIRE_API_KEYS=API_KEY)


def check(gateway: Gateway, case: Case[Any], headers: dict[str, str] | None = None) -> None:
    case.call_and_validate(base_url=gateway.url, headers=headers, timeout=20)


@every_open_operation
@bounded
@given(data=st.data())
def test_an_open_gateway_keeps_to_its_document(
    open_gateway: Gateway, operation: Any, data: st.DataObject
) -> None:
    check(open_gateway, data.draw(cases(operation)))


@every_guarded_operation
@bounded
@given(data=st.data())
def test_a_backend_finds_what_the_document_says(
    guarded: Gateway, operation: Any, data: st.DataObject
) -> None:
    check(guarded, data.draw(cases(operation)), bearer(API_KEY))


@every_guarded_operation
@refused_at_the_door
@given(data=st.data())
def test_a_token_of_another_session_finds_what_the_document_says(
    guarded: Gateway, operation: Any, data: st.DataObject
) -> None:
    check(guarded, data.draw(cases(operation)), bearer(token("another", rights=("admin",))))


@every_guarded_operation
@refused_at_the_door
@given(data=st.data())
def test_a_stranger_finds_what_the_document_says(
    guarded: Gateway, operation: Any, data: st.DataObject
) -> None:
    check(guarded, data.draw(cases(operation)))
