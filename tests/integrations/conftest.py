"""A model on loopback, the clients that call it, and the integrations, each on for one test.

What a fixture needs of a library it imports itself: a test of one library runs without the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from integrations.model_server import ModelServer, model_server

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

    from integrations.chat import Chat


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running


@pytest.fixture
async def client(model: ModelServer) -> AsyncIterator[AsyncOpenAI]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=model.url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def chat(model: ModelServer) -> AsyncIterator[Chat]:
    from integrations.chat import open_chat

    async with open_chat(model.url) as chat:
        yield chat


@pytest.fixture
def openai_calls() -> Iterator[None]:
    from stepwire.integrations import openai

    openai.instrument()
    yield
    openai.uninstrument()


@pytest.fixture
def chains() -> Iterator[None]:
    from stepwire.integrations import langchain

    langchain.instrument()
    yield
    langchain.uninstrument()


@pytest.fixture
def agents() -> Iterator[None]:
    from agents.tracing import get_trace_provider, set_trace_provider
    from agents.tracing.provider import DefaultTraceProvider

    from stepwire.integrations import openai_agents

    # A provider of our own: the SDK's sends what it sees to OpenAI.
    set_trace_provider(DefaultTraceProvider())
    get_trace_provider().set_disabled(False)
    openai_agents.instrument()
    yield
    openai_agents.uninstrument()


@pytest.fixture
def pydantic_agents() -> Iterator[None]:
    from stepwire.integrations import pydantic_ai

    pydantic_ai.instrument()
    yield
    pydantic_ai.uninstrument()


@pytest.fixture
def provider() -> TracerProvider:
    """A provider of spans that are shown."""
    from opentelemetry.sdk.trace import TracerProvider

    from stepwire.integrations import opentelemetry

    provider = TracerProvider()
    opentelemetry.instrument(provider)
    return provider


@pytest.fixture
def tracer(provider: TracerProvider) -> Tracer:
    return provider.get_tracer("test")
