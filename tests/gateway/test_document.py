"""The OpenAPI document: valid, complete, and good to make clients of."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from pydantic import SecretStr

from stepwire_cli.dev.embedded_server import free_port
from stepwire_core.settings import Settings
from stepwire_core.wire.kinds import EVENT_TYPES, EVENTS
from stepwire_gateway import create_app, running
from tokens import API_KEY, SECRET

Document = dict[str, Any]


def document_of(settings: Settings) -> Document:
    return create_app(settings).openapi()


@pytest.fixture(scope="module")
def of_open() -> Document:
    """The document of a gateway without access control."""
    return document_of(Settings())


@pytest.fixture(scope="module")
def of_guarded() -> Document:
    return document_of(Settings(auth_secrets=SecretStr(SECRET), api_keys=SecretStr(API_KEY)))


def operations(document: Document) -> dict[str, Document]:
    return {op["operationId"]: op for path in document["paths"].values() for op in path.values()}


def test_the_document_is_valid(of_open: Document, of_guarded: Document) -> None:
    validate(of_open)
    validate(of_guarded)


def test_operations_keep_the_names_that_generated_clients_call(of_open: Document) -> None:
    """One may be added, as a verb and its object; none may be renamed or lose its body."""
    bodies = {name: "requestBody" in op for name, op in operations(of_open).items()}
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", name) for name in bodies)
    known = {
        "createSession": True,
        "readSession": False,
        "deleteSession": False,
        "resumeSession": True,
        "postMessage": True,
        "startRun": True,
        "readRun": False,
        "cancelRun": False,
        "listSessions": False,
        "streamSessions": False,
        "listRuns": False,
        "listWorkers": False,
        "clickAction": True,
        "uploadElement": True,
        "downloadElement": False,
        "answerAsk": True,
        "giveFeedback": True,
        "withdrawFeedback": False,
        "streamSessionEvents": False,
        "streamRunEvents": False,
        "createToken": True,
        "checkHealth": False,
        "checkReadiness": False,
        "readMetrics": False,
    }
    assert known.items() <= bodies.items()


def test_problems_are_of_their_own_type_alone(of_open: Document, of_guarded: Document) -> None:
    for name, operation in operations(of_guarded).items():
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                [(media_type, content)] = response["content"].items()
                assert media_type == "application/problem+json", (name, status)
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert not {name for name in of_open["components"]["schemas"] if "HTTP" in name}


@pytest.mark.anyio
async def test_without_redis_an_operation_gives_what_the_document_says() -> None:
    app = create_app(Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    transport, url = httpx.ASGITransport(app), "http://127.0.0.1"
    refused = set()
    async with running(app), httpx.AsyncClient(transport=transport, base_url=url) as client:
        for path, of_path in app.openapi()["paths"].items():
            address = path.format(session_id="a", run_id="b", id="c")
            for method in {"get", "delete"} & of_path.keys():
                operation = of_path[method]
                if operation["operationId"].startswith("stream"):
                    # It waits for Redis for a while, and is then an empty 200: test_streams.py.
                    continue
                status = (await client.request(method, address)).status_code
                assert str(status) in operation["responses"], operation["operationId"]
                if status == 503:
                    refused.add(operation["operationId"])
    assert refused == {
        *("listSessions", "readSession", "deleteSession", "readRun", "downloadElement"),
        *("withdrawFeedback", "listRuns", "listWorkers", "checkReadiness", "readStartPage"),
        *("forgetFailedRun", "listWaitingRuns", "readQueue", "readRequest", "listTasks"),
    }


@pytest.mark.parametrize(
    ("operation", "statuses"),
    [
        ("createSession", "200 201 401 403 404 413 415 422 429 500 503"),
        ("readSession", "200 304 401 403 404 429 500 503"),
        ("deleteSession", "204 401 403 404 500 503"),
        ("postMessage", "202 401 403 404 409 413 415 422 429 500 503"),
        ("readRun", "200 401 403 404 429 500 503"),
        ("cancelRun", "202 401 403 404 500 503"),
        ("downloadElement", "200 206 304 401 403 404 416 500 503"),
        # What else could be wrong is an empty stream: an EventSource gives up on an error.
        ("streamRunEvents", "200 204 400 401 403 404 422 500"),
        ("clickAction", "202 401 403 404 409 413 415 422 429 500 503"),
        ("listSessions", "200 401 403 422 429 500 503"),
        ("streamSessions", "200 401 403 422 500"),
        ("listRuns", "200 401 403 422 500 503"),
        ("listWorkers", "200 401 403 500 503"),
        ("checkHealth", "200 500"),
        ("checkReadiness", "200 500 503"),
    ],
)
def test_an_operation_has_the_statuses_that_it_can_give(
    operation: str, statuses: str, of_open: Document, of_guarded: Document
) -> None:
    assert " ".join(operations(of_guarded)[operation]["responses"]) == statuses
    open_ones = statuses.replace(" 401", "")
    assert " ".join(operations(of_open)[operation]["responses"]) == open_ones


def test_every_event_has_a_schema(of_open: Document) -> None:
    schemas = of_open["components"]["schemas"]
    event = schemas["SessionEvent"]
    assert tuple(event["discriminator"]["mapping"]) == EVENT_TYPES
    refs = [variant["$ref"] for variant in event["oneOf"]]
    assert refs == list(event["discriminator"]["mapping"].values())
    for type_, ref in zip(EVENT_TYPES, refs, strict=True):
        properties = schemas[ref.rpartition("/")[2]]["properties"]
        assert properties["event"]["const"] == type_
        assert properties["data"]["$ref"] == f"#/components/schemas/{EVENTS[type_].data.__name__}"
        assert schemas[EVENTS[type_].data.__name__]["properties"]


def test_every_event_of_the_list_has_a_schema(of_open: Document) -> None:
    schemas = of_open["components"]["schemas"]
    kinds = [
        schemas[ref["$ref"].rpartition("/")[2]] for ref in schemas["SessionListEvent"]["oneOf"]
    ]
    assert {
        kind["properties"]["event"]["const"]: kind["properties"]["data"]["$ref"] for kind in kinds
    } == {
        "sessions": "#/components/schemas/SessionPage",
        "session": "#/components/schemas/SessionEntry",
        "session.remove": "#/components/schemas/RemovedSession",
    }
    assert all("id" not in kind["properties"] for kind in kinds)


def test_every_reference_leads_somewhere_and_every_schema_is_used(of_guarded: Document) -> None:
    document = of_guarded
    used = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    streamed = {"SessionEvent", "SessionListEvent"}
    assert used | streamed == set(document["components"]["schemas"])
    for name in streamed:
        assert f"`{name}`" in str(document["paths"])


def test_what_makes_something_takes_an_idempotency_key(of_open: Document) -> None:
    for name, operation in operations(of_open).items():
        parameters = [parameter["name"] for parameter in operation.get("parameters", ())]
        makes = "requestBody" in operation or name == "withdrawFeedback"
        assert ("Idempotency-Key" in parameters) is (makes and name != "createToken"), name


def test_every_body_is_one_type_to_a_generated_client(of_open: Document) -> None:
    """A schema with ``anyOf`` at its top becomes several classes, or none."""
    for name, schema in of_open["components"]["schemas"].items():
        if schema.get("type") == "object":
            assert not {"anyOf", "oneOf", "allOf"} & set(schema), name
