"""LangChain's client of OpenAI's models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from langchain_openai import ChatOpenAI
from openai import DefaultAsyncHttpxClient, DefaultHttpxClient
from pydantic import SecretStr

Chat = Callable[..., ChatOpenAI]
"""Makes a model by its name, ``plain`` if none is given, and options."""


@asynccontextmanager
async def open_chat(url: str) -> AsyncIterator[Chat]:
    """With HTTP clients of its own, since LangChain's cached ones belong to another loop."""
    with DefaultHttpxClient() as client:
        async with DefaultAsyncHttpxClient() as async_client:

            def make(name: str = "plain", **options: Any) -> ChatOpenAI:
                return ChatOpenAI(
                    model=name,
                    base_url=url,
                    api_key=SecretStr("any"),
                    max_retries=0,
                    http_client=client,
                    http_async_client=async_client,
                    **options,
                )

            yield make
