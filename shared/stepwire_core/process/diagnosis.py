"""Why an address at which no Redis answers does not: for the one line that a person gets."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Final

from stepwire_core.redis.sockets import address_parts
from stepwire_core.values.addresses import RedisAddress, Topology

_GREETING_S: Final = 0.3
"""A server that refuses a client, or speaks first by its protocol, does so at once."""

_ANSWER_S: Final = 1.0
_SHOWN_BYTES: Final = 30
_REPLIES: Final = (b"+", b"-", b":", b"$", b"*")
"""The first byte of what Redis says (RESP2)."""


async def diagnose(url: str, error: BaseException) -> str | None:
    """What is at the address, and what to do; None: nothing is, or nothing else can be said.

    It takes about three seconds at most, and never raises what the network raises.
    """
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return (
            "its certificate is not trusted: name its authority's file with ?ssl_ca_certs=/path, "
            "or, for a test, ?ssl_cert_reqs=none"
        )
    address = RedisAddress.of(url)
    if address.hosts:
        # Only of the first one, which stands for the others.
        ask = address.sentinel if address.topology is Topology.SENTINEL else address.server
        url = ask(*address.hosts[0])
    parts = address_parts(url)
    if "path" in parts:
        return None
    host, port = parts.get("host", "localhost"), parts.get("port", 6379)
    said = await _first_bytes(host, port)
    if said is None:
        return None
    if url.startswith("rediss:"):
        return "it does not speak TLS: begin its address with redis://" if _is_redis(said) else None
    if await _speaks_tls(host, port):
        return "it speaks TLS: begin its address with rediss://"
    return _meaning(said)


def _is_redis(said: bytes) -> bool:
    return said.startswith(_REPLIES) and said.endswith(b"\r\n")


def _meaning(said: bytes) -> str | None:
    if said.startswith(b"-DENIED"):
        return (
            "it is in protected mode, in which it takes clients of its own machine alone: give it "
            "a password, or bind it to loopback"
        )
    if said.startswith(b"HTTP/"):
        return "an HTTP server answers there, not Redis: name the port of Redis"
    if said and not _is_redis(said):
        return f"another server than Redis answers there: it says {said[:_SHOWN_BYTES]!r}"
    return None


async def _first_bytes(host: str, port: int) -> bytes | None:
    """The first bytes from there, also without a question; empty: none; None: nothing is there."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return None
    said = b""
    try:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_GREETING_S):
                # Asked at once, a server that closes could take its word with it.
                said = await reader.read(1024)
        if not said:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_ANSWER_S):
                    writer.write(b"PING\r\n\r\n")
                    said = await reader.read(1024)
    finally:
        writer.transport.abort()
    return said


async def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    # Nothing is sent to it, and nothing of it is believed but that it speaks TLS.
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_ANSWER_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
