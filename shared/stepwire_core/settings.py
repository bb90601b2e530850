"""Settings: environment variables with the prefix ``STEPWIRE_``, also from a file ``.env``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict

from stepwire_core.errors import SettingsError
from stepwire_core.values.addresses import (
    DEFAULT_QUEUE,
    RedisAddress,
    Topology,
    redacted,
    redis_address,
    split_address,
)


def _elements_url(value: str) -> str:
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/[\w./-]*)?", value, re.ASCII):
        raise ValueError("must have the form s3://bucket or s3://bucket/prefix")
    return value


def _keys(value: SecretStr) -> SecretStr:
    # The message does not repeat the value: messages end up on terminals and in logs.
    if any(len(key.encode()) < MIN_KEY_BYTES for key in listed(value)):
        raise ValueError(
            f"must be one or more keys of at least {MIN_KEY_BYTES} bytes, with commas between "
            "(make one: openssl rand -hex 32)"
        )
    return value


def _jwks_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^/?#\s]+([/?][^#\s]*)?", value):
        raise ValueError("must begin with https:// (or http://) and have no fragment")
    split_address(value, "https://host/path")
    return value


def _gateway_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", value):
        raise ValueError(
            "must be the address of a gateway: http://127.0.0.1:8000, https://your.site/stepwire"
        )
    split_address(value, "https://host/path")
    return value.rstrip("/")


def _origins(value: str) -> str:
    if any(normal_origin(origin) is None for origin in listed(value)):
        raise ValueError(
            "must be origins, with commas between: https://app.example, http://localhost:3000 "
            "(no path, no *)"
        )
    return value


def _hosts(value: str) -> str:
    if not all(
        re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", host.lower()) for host in listed(value)
    ):
        raise ValueError(
            "must be names of hosts, with commas between: app.example, [::1] (no port, no *)"
        )
    return value


def _faces(value: str) -> str:
    unknown = [name for name in listed(value) if name not in FACES]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a face; known are {', '.join(FACES)}")
    return value


def _root_path(value: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value) or {".", ".."} & set(value.split("/")):
        raise ValueError("must have the form /path or /longer/path, without a slash at its end")
    # A proxy may strip the path or leave it, and only addresses that differ show which.
    if value.split("/")[1] in _OWN_FOLDERS:
        raise ValueError("must not begin as the gateway's own addresses do")
    return value


def listed(value: str | SecretStr | None) -> tuple[str, ...]:
    """The parts of a setting that takes several values with commas between them."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if text is None:
        return ()
    return tuple(part.strip() for part in text.split(","))


_ORIGIN: Final = re.compile(
    r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.IGNORECASE | re.ASCII
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def normal_origin(text: str) -> str | None:
    """An origin as browsers write it; None if the text is not an origin (RFC 6454, 4 and 6.1).

    Scheme and host are in lower case, and the scheme's default port is left out.
    """
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme, host, port = match[1].lower(), match[2].lower(), match[3]
    if port is None or int(port) == _DEFAULT_PORTS[scheme]:
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}"


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a host, as an address or a name, can be reached from this machine alone."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


_PREFIX: Final = "STEPWIRE_"

_NO_QUEUE: Final = "which cannot hold the queue: name a single server, or Sentinels, for it"

FACES: Final = ("aisdk", "agui", "copilotkit", "langgraph")
"""The protocols of others that a gateway can speak."""

_OWN_FOLDERS: Final = frozenset({"v1", "inspector", *FACES})

_MAX_S: Final = 10 * 365 * 24 * 3600
_MAX_NUMBER: Final = 2**53
"""Above it Lua no longer tells one whole number from the next."""

MIN_KEY_BYTES: Final = 32
"""The length of the hash that HS256 makes, as RFC 7518 asks for (section 3.2)."""

ElementsUrl = Annotated[str, AfterValidator(_elements_url)]
Keys = Annotated[SecretStr, AfterValidator(_keys)]
Faces = Annotated[str, AfterValidator(_faces)]
GatewayUrl = Annotated[str, AfterValidator(_gateway_url)]
Hosts = Annotated[str, AfterValidator(_hosts)]
JwksUrl = Annotated[str, AfterValidator(_jwks_url)]
Origins = Annotated[str, AfterValidator(_origins)]
RedisUrl = Annotated[str, AfterValidator(redis_address)]
RootPath = Annotated[str, AfterValidator(_root_path)]


class Settings(BaseSettings):
    """The settings of workers and gateways; :func:`load_settings` reads them.

    Units are in the names: ``_s`` seconds, ``_bytes`` bytes of UTF-8.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_file=".env", extra="ignore")

    redis_url: RedisUrl = Field(
        default="redis://127.0.0.1:6379/0",
        description="The Redis (7 or newer, or Valkey) that holds the event log: "
        "a server, Sentinels or a cluster.",
    )
    queue_url: RedisUrl | None = Field(
        default=None,
        validate_default=True,
        description="The Redis that holds arq's queue, no cluster; by default that of the log.",
    )
    queue_name: str = Field(
        default=DEFAULT_QUEUE,
        min_length=1,
        validate_default=True,
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
        description="Events kept per session; a client that has missed more gets a snapshot.",
    )
    log_max_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=64 * 1024,
        description="Bytes of events kept per session; the oldest events go first.",
    )
    session_max_steps: int = Field(
        default=20_000, ge=100, description="Steps and messages of one session; more are refused."
    )
    session_max_bytes: int = Field(
        default=128 * 1024 * 1024,
        ge=1024 * 1024,
        description="Bytes that a session keeps in Redis beside its log; more are refused.",
    )

    session_list_max: int = Field(
        default=100_000,
        ge=100,
        description="Sessions that lists know; those without activity for longest go first.",
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
    max_metadata_chars: int = Field(
        default=100_000,
        ge=1_000,
        description="Characters of metadata as JSON: a step loses entries, a message is 413.",
    )
    max_event_bytes: int = Field(
        default=1024 * 1024,
        ge=16 * 1024,
        description="Bytes of any other value as JSON: results, arguments, asks, element props.",
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
        description="Where larger elements are kept: `s3://bucket/prefix`, with `AWS_…`.",
    )
    elements_max_bytes: int = Field(
        default=100 * 1024 * 1024,
        ge=1024,
        description="Larger elements are refused.",
    )

    queue_max: int = Field(
        default=100_000,
        ge=1,
        description="Runs that may wait or be executed; more are answered with 429.",
    )
    max_jobs: int = Field(
        default=10, ge=1, description="Runs that one worker process executes at a time."
    )
    max_running_per_subject: int | None = Field(
        default=None,
        ge=1,
        description="Runs of one subject that all workers execute at a time; the others wait.",
    )
    run_timeout_s: float = Field(
        default=3600.0, gt=0, description="A run that takes longer is ended."
    )
    max_attempts: int = Field(
        default=1,
        ge=1,
        description="Attempts of a run that fails, unless its handler sets another number.",
    )
    lease_s: float = Field(
        default=15.0,
        ge=2,
        description="A worker silent for this long is dead, and its runs are taken over.",
    )
    dead_letters_max: int = Field(
        default=1_000,
        ge=0,
        description="Runs kept that have failed for good and can be retried; the oldest go first.",
    )
    dead_letters_ttl_s: int = Field(
        default=7 * 24 * 3600, ge=60, description="How long a run that has failed for good is kept."
    )
    tracebacks: Literal["off", "operators", "clients"] = Field(
        default="operators",
        description="Who gets tracebacks: no one, operators (in failed runs), or also clients.",
    )
    grace_s: float = Field(
        default=20.0,
        ge=0,
        description="Time to finish after SIGTERM: running handlers, open streams.",
    )
    steps_outside_sessions: Literal["error", "ignore"] = Field(
        default="error",
        description="Outside any session, a `@cl.step` function raises, or only runs.",
    )
    startup_timeout_s: float = Field(
        default=300.0, gt=0, description="Time that `on_app_startup` may take."
    )
    poll_s: float = Field(
        default=0.5,
        gt=0,
        description="How often an idle worker looks for jobs, if nothing has woken it before.",
    )
    health_file: str | None = Field(
        default=None,
        min_length=1,
        description="A file that the process touches while it lives, for health checks.",
    )

    log_format: Literal["text", "json"] = Field(
        default="text", description="Lines of the log: for people, or JSON, one object a line."
    )
    access_log: bool = Field(
        default=False, description="Whether a gateway logs a line for each request that it answers."
    )
    metrics_host: str = Field(
        default="127.0.0.1", min_length=1, description="Address of a worker's `/metrics`."
    )
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of a worker's `/metrics`; by default none."
    )
    trace_steps: bool = Field(
        default=False,
        description="Whether steps are sent as OpenTelemetry spans, to `OTEL_EXPORTER_OTLP_…`.",
    )
    trace_content: bool = Field(
        default=False,
        description="Whether these spans carry inputs, outputs and the texts of errors.",
    )

    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address that the gateway listens on."
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port that the gateway listens on.")
    root_path: RootPath | None = Field(
        default=None,
        description="The path under which a proxy publishes the gateway: `/stepwire`.",
    )
    max_body_bytes: int = Field(
        default=1024 * 1024, ge=1024, description="Larger request bodies are answered with 413."
    )
    subscriber_bytes: int = Field(
        default=1024 * 1024,
        ge=64 * 1024,
        description="Bytes that wait for one slow client; past them it reads from the log.",
    )
    ping_s: float = Field(
        default=15.0,
        gt=0,
        description="How often a comment line is sent to keep an idle stream open.",
    )
    send_timeout_s: float = Field(
        default=30.0, gt=0, description="A client that takes no byte for this long is cut off."
    )
    keep_alive_s: float = Field(
        default=75.0,
        gt=0,
        description="A connection without a request is closed after this long.",
    )
    headers_timeout_s: float = Field(
        default=20.0,
        gt=0,
        description="The headers of a request must be complete after this long, else 408.",
    )
    body_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="A body that brings under 500 bytes/s for this long is answered with 408.",
    )
    max_header_bytes: int = Field(
        default=32 * 1024,
        ge=1024,
        le=1024 * 1024,
        description="A longer address is answered with 414, more bytes of headers with 431.",
    )
    max_connections: int | None = Field(
        default=None,
        ge=1,
        description="Connections of one gateway process; by default 1,000 more than its streams.",
    )
    tail_check_s: float = Field(
        default=3.0, gt=0, description="How often the gateway checks that it has missed nothing."
    )

    auth_secrets: Keys | None = Field(
        default=None,
        description="HS256 secrets, with commas between; the first signs, all verify.",
    )
    auth_jwks_url: JwksUrl | None = Field(
        default=None,
        description="Where the issuer of the tokens publishes its public keys (JWKS).",
    )
    auth_jwks_refetch_s: float = Field(
        default=10.0, ge=0, description="The shortest time between two requests for these keys."
    )
    auth_issuer: str | None = Field(
        default=None, min_length=1, description="Tokens must have this `iss`."
    )
    auth_audience: str | None = Field(
        default=None, min_length=1, description="Tokens must have this `aud`."
    )
    auth_cookie: str = Field(
        default="stepwire_token",
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="The cookie that may hold a token.",
    )
    auth_max_ttl_s: int = Field(
        default=24 * 3600,
        ge=1,
        description="The longest lifetime of a token that `POST /v1/tokens` issues.",
    )
    auth_open: bool = Field(
        default=False,
        description="Whether a gateway without authentication may listen beyond loopback.",
    )
    auth_open_hosts: Hosts | None = Field(
        default=None,
        description="Further names of a gateway without authentication, with commas between.",
    )
    api_keys: Keys | None = Field(
        default=None,
        description="Keys of your own backends, which may do anything, with commas between.",
    )
    cors_origins: Origins | None = Field(
        default=None,
        description="Origins whose pages may call the gateway, with commas between.",
    )

    faces: Faces | None = Field(
        default=None,
        description="Protocols of others to speak, with commas between: `aisdk`, `agui`, "
        "`copilotkit`, `langgraph`.",
    )

    max_streams: int = Field(
        default=10_000, ge=1, description="Event streams that one gateway process has open."
    )
    max_streams_per_subject: int = Field(
        default=100,
        ge=1,
        description="Event streams that one subject has open at one gateway process.",
    )
    max_streams_per_address: int = Field(
        default=1_000,
        ge=1,
        description="Event streams that one address has open at one gateway process.",
    )
    max_messages_per_minute: int = Field(
        default=120,
        ge=1,
        description="Messages, runs and uploads of one subject, through all gateways.",
    )
    max_sessions_per_hour: int = Field(
        default=1_000,
        ge=1,
        description="Sessions that one subject creates, through all gateways.",
    )
    max_reads_per_minute: int = Field(
        default=3_000,
        ge=1,
        description="Snapshots and streams that one subject opens, through all gateways.",
    )
    max_message_chars: int = Field(
        default=1_000_000, ge=1, description="Characters of one message."
    )

    @field_validator("queue_url")
    @classmethod
    def _is_no_cluster(cls, value: str | None, info: ValidationInfo) -> str | None:
        """arq has no client for a cluster, and a job of it has keys in several slots."""
        if value and RedisAddress.of(value).topology is Topology.CLUSTER:
            raise ValueError(f"is a cluster, {_NO_QUEUE}")
        log = info.data.get("redis_url")
        if not value and log and RedisAddress.of(log).topology is Topology.CLUSTER:
            raise ValueError(f"is not set, and STEPWIRE_REDIS_URL is a cluster, {_NO_QUEUE}")
        return value

    @field_validator("queue_name")
    @classmethod
    def _is_under_the_prefix(cls, value: str, info: ValidationInfo) -> str:
        """The jobs of the default queue are named as arq names them, without any prefix."""
        url = info.data.get("queue_url") or info.data.get("redis_url")
        has_prefix = bool(url and RedisAddress.of(url).prefix)
        return f"{DEFAULT_QUEUE}:own" if has_prefix and value == DEFAULT_QUEUE else value

    @field_validator("*")
    @classmethod
    def _is_bounded(cls, value: object, info: ValidationInfo) -> object:
        """A larger value (``inf``, say) fails only later: in Redis, in the clock, in a timer."""
        limit = _MAX_S if str(info.field_name).endswith("_s") else _MAX_NUMBER
        if isinstance(value, (int, float)) and value > limit:
            raise ValueError(f"must be at most {limit}")
        return value

    @property
    def has_auth(self) -> bool:
        """Whether callers must authenticate."""
        return bool(self.auth_secrets or self.auth_jwks_url or self.api_keys)

    @property
    def effective_max_connections(self) -> int:
        return self.max_connections or self.max_streams + 1_000

    @property
    def effective_queue_url(self) -> str:
        return self.queue_url or self.redis_url


PLACES: Final = frozenset({"redis_url", "queue_url", "queue_name", "elements_url"})
"""Settings that name where an installation keeps its data; with others it is another one."""

ENV_FILE: Final = "STEPWIRE_ENV_FILE"
"""The variable that names another file than ``.env``; empty: none is read."""

_SECRET: Final = frozenset({"auth_secrets", "api_keys", "token"})
"""Settings whose value no message repeats."""


class ClientSettings(BaseSettings):
    """The settings of commands that talk to a gateway; :func:`load_client_settings` reads them.

    They are apart from :class:`Settings`, since neither a worker nor a gateway uses them.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_file=".env", extra="ignore")

    url: GatewayUrl = Field(default="http://127.0.0.1:8000", description="Where the gateway is.")
    token: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="A token or an API key, if the gateway asks for one.",
    )
    token_file: str | None = Field(
        default=None, min_length=1, description="A file that holds the token or key."
    )


_Loaded = TypeVar("_Loaded", bound=BaseSettings)


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment and ``.env``; ``overrides`` that are not None win.

    Raises:
        SettingsError: a value is wrong, or ``.env`` cannot be read; the message names the variable
            and the value, or the file.
    """
    return _load(Settings, overrides)


def load_client_settings(**overrides: object) -> ClientSettings:
    """The settings of commands that talk to a gateway, read as :func:`load_settings` does.

    Raises:
        SettingsError: as :func:`load_settings`.
    """
    return _load(ClientSettings, overrides)


def _load(of: type[_Loaded], overrides: Mapping[str, object]) -> _Loaded:
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    path = _env_file()
    try:
        with _reading(path):
            return of(_env_file=path, **given)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = "_".join(map(str, problem["loc"]))
            value = "" if name in _SECRET else f"={_shown(problem['input'])}"
            said = problem["msg"].removeprefix("Value error, ")
            lines.append(f"STEPWIRE_{name.upper()}{value}: {said}")
        raise SettingsError("\n".join(lines)) from None


def environment(**places: str) -> dict[str, str]:
    """The environment for the processes of another installation on this machine.

    They have the settings that are in force here, but of :data:`PLACES` only those that are given.
    Neither these processes nor their children read ``.env`` again.
    """
    settings = {}
    for name, value in (*_env_file_variables().items(), *os.environ.items()):
        if value is not None and name.upper().startswith(_PREFIX):
            settings[name.upper()] = value
    for name in PLACES:
        settings.pop(f"{_PREFIX}{name.upper()}", None)
    others = {k: v for k, v in os.environ.items() if not k.upper().startswith(_PREFIX)}
    given = {f"{_PREFIX}{name.upper()}": value for name, value in places.items()}
    return others | settings | given | {ENV_FILE: ""}


def _env_file() -> str | None:
    named = os.environ.get(ENV_FILE)
    if named is None:
        return ".env"
    if named and (not os.path.lexists(named) or Path(named).is_dir()):
        raise SettingsError(
            f"{ENV_FILE}={named!r}: this file does not exist: name one that does, or leave the "
            "variable empty to read none"
        )
    return named or None


@contextmanager
def _reading(path: str | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read by user {os.getuid()} ({error.strerror}): let that user read "
            f"it (chmod, chown), or name another file in {ENV_FILE} (empty: none is read)"
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not text in UTF-8: {error}") from error


def _env_file_variables() -> Mapping[str, str | None]:
    path = _env_file()
    with _reading(path):
        return DotEnvSettingsSource(Settings, env_file=path).env_vars


def misspelt_settings() -> dict[str, str]:
    """Variables that nothing reads but whose names are close to a setting, with that setting."""
    fields = (*Settings.model_fields, *ClientSettings.model_fields)
    names = [f"{_PREFIX}{name.upper()}" for name in fields]
    given = {name.upper() for name in (*os.environ, *_env_file_variables())}
    found = {}
    for name in sorted(given.difference(names, [ENV_FILE])):
        if meant := get_close_matches(name, names, n=1, cutoff=0.9):
            found[name] = meant[0]
    return found


def _shown(value: object) -> str:
    return repr(redacted(value)) if isinstance(value, str) else repr(value)
