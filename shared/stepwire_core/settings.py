"""Settings: environment variables with the prefix ``STEPWIRE_``, read from ``.env`` too."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from stepwire_core.errors import SettingsError

_SCHEMES = ("redis://", "rediss://", "unix://")


def _redis_url(value: str) -> str:
    if not value.startswith(_SCHEMES):
        raise ValueError(f"must begin with one of {', '.join(_SCHEMES)}")
    return value


def _elements_url(value: str) -> str:
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/[\w./-]*)?", value, re.ASCII):
        raise ValueError("must have the form s3://bucket or s3://bucket/prefix")
    return value


ElementsUrl = Annotated[str, AfterValidator(_elements_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]


class Settings(BaseSettings):
    """What both sides can be told from outside; :func:`load_settings` reads it.

    Units are in the names: ``_s`` seconds, ``_bytes`` bytes of UTF-8.
    """

    model_config = SettingsConfigDict(env_prefix="STEPWIRE_", env_file=".env", extra="ignore")

    redis_url: RedisUrl = Field(
        default="redis://127.0.0.1:6379/0",
        description="The Redis (or Valkey) that holds the event log.",
    )
    queue_url: RedisUrl | None = Field(
        default=None, description="The Redis that holds arq's queue; by default the one of the log."
    )
    queue_name: str = Field(
        default="stepwire:queue",
        min_length=1,
        description="Name of the queue; workers and gateways share it.",
    )

    session_ttl_s: int = Field(
        default=7 * 24 * 3600,
        ge=60,
        description="A session is deleted this long after its last event.",
    )
    log_max_events: int = Field(
        default=2_000,
        ge=100,
        description="Events kept per session; a client that missed more gets a snapshot.",
    )

    buffer_bytes: int = Field(
        default=8 * 1024 * 1024,
        ge=64 * 1024,
        description="A worker process holds back its handlers when this much waits to be stored.",
    )
    max_text_chars: int = Field(
        default=1_000_000,
        ge=1_000,
        description="Characters of one input or output; more is cut off, with a mark.",
    )
    publish_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="After this long without Redis the waiting events fail their handlers.",
    )

    elements_redis_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=0,
        le=256 * 1024 * 1024,
        description="Elements up to this size are kept in Redis.",
    )
    elements_url: ElementsUrl | None = Field(
        default=None,
        description="Where larger ones are kept: `s3://bucket/prefix`; the rest is in `AWS_…`.",
    )
    elements_max_bytes: int = Field(
        default=100 * 1024 * 1024,
        ge=1024,
        description="Larger elements are refused.",
    )

    max_jobs: int = Field(
        default=10, ge=1, description="Runs that one worker process executes at a time."
    )
    run_timeout_s: float = Field(
        default=3600.0, gt=0, description="A run that takes longer is ended."
    )
    max_attempts: int = Field(
        default=1,
        ge=1,
        description="How often a run is tried when its worker dies; handlers run at least once.",
    )
    lease_s: float = Field(
        default=15.0,
        ge=2,
        description="A worker silent for this long is dead, and its runs are taken over.",
    )
    dead_letters_max: int = Field(
        default=1_000,
        ge=0,
        description="Runs that have failed for good and can be retried; the oldest go first.",
    )
    dead_letters_ttl_s: int = Field(
        default=7 * 24 * 3600, ge=60, description="How long each of them is kept."
    )
    grace_s: float = Field(
        default=20.0,
        ge=0,
        description="Time to finish after SIGTERM: running handlers, open streams.",
    )
    poll_s: float = Field(
        default=0.5,
        gt=0,
        description="How often an idle worker looks for jobs that nobody woke it for.",
    )

    host: str = Field(default="127.0.0.1", description="Address that the gateway listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port that the gateway listens on.")
    max_body_bytes: int = Field(
        default=1024 * 1024, ge=1024, description="Larger request bodies are answered with 413."
    )
    subscriber_bytes: int = Field(
        default=1024 * 1024,
        ge=64 * 1024,
        description="Frames that wait for one slow client; past it the client reads from the log.",
    )
    ping_s: float = Field(
        default=15.0, gt=0, description="A comment line keeps idle streams open this often."
    )
    send_timeout_s: float = Field(
        default=30.0, gt=0, description="A client that takes no byte for this long is cut off."
    )
    tail_check_s: float = Field(
        default=3.0, gt=0, description="How often the gateway checks that it missed nothing."
    )

    @property
    def effective_queue_url(self) -> str:
        return self.queue_url or self.redis_url


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment and ``.env``; ``overrides`` that are not None win.

    Raises:
        SettingsError: a value is wrong; the message names the variable and the value.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [
            f"STEPWIRE_{'_'.join(map(str, problem['loc'])).upper()}={problem['input']!r}: "
            f"{problem['msg']}"
            for problem in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from error
