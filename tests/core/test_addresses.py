"""Addresses of Redis: checked once for every client, never shown with a password; and what stands
at one that is wrong."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from stack import wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer, free_port, server_program
from stepwire_core.errors import SettingsError
from stepwire_core.process.redis_rights import require
from stepwire_core.redis.commands import command
from stepwire_core.redis.connections import new_pool, new_sync_pool
from stepwire_core.redis.standalone import connect, connect_blocking
from stepwire_core.settings import load_settings
from stepwire_core.values.addresses import RedisAddress, redacted
from tls import new_certificate

pytestmark = pytest.mark.anyio

SECRET = "the-password"


@pytest.mark.parametrize(
    "option",
    ["timeout=1", "decode_responses=True", "socket_timeout=3", "max_connections=2", "protocol=3"],
)
def test_options_that_stepwire_decides_itself_are_refused_for_every_client(option: str) -> None:
    name = option.partition("=")[0]
    for use in (lambda url: load_settings(redis_url=url), connect, connect_blocking):
        with pytest.raises(SettingsError, match=f"option {name}: leave it out"):
            use(f"redis://host/0?{option}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://host?foo=bar", "'foo', which does not exist; behind the '?' there may be db, "),
        ("redis://host?db=one", "option db of another value than a number"),
        ("redis://host?db=", "option db of another value than a number"),
        ("redis://host?client_name=a%20b", "a name without spaces"),
        ("redis://host?ssl_cert_reqs=none", "begin it with rediss://"),
        ("rediss://host?ssl_cert_reqs=maybe", "none, optional or required"),
        ("rediss://host?ssl_ca_certs=/nowhere", "a file that can be read"),
        ("rediss://host?ssl_ciphers=some", "as OpenSSL takes it"),
        ("redis://:12#34@host", "written as %2F"),
        ("redis://:a?b@host", "written as %2F"),
        ("redis://host?prefix=a{b}", "option prefix of another value than up to 64 letters"),
        ("redis://host?sentinel_password=a", "which is for Sentinel: begin it with redis+sentinel"),
        ("redis+sentinel://host", "must name the primary; it has the form redis+sentinel://"),
        ("redis+sentinel://host/name/x", "must end in the number of a database"),
        ("redis+sentinel://host,,b/name", "is not an address; it has the form redis+sentinel"),
        ("redis+sentinel://host/n?ssl_cert_reqs=none", "for TLS: begin it with rediss+sentinel://"),
        ("redis+ring://host", "must begin with one of redis://"),
        ("redis+cluster://host", "is a cluster, which cannot hold the queue"),
    ],
)
def test_a_wrong_address_is_said_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(queue_url=url)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+cluster://host/1", "names a database, and a cluster has only number 0"),
        ("redis+cluster://host?db=1", "names a database, and a cluster has only number 0"),
        ("redis+cluster://host:port", "is not an address; it has the form redis+cluster://"),
        (
            "redis+cluster://host/0",
            "STEPWIRE_QUEUE_URL=None: is not set, and STEPWIRE_REDIS_URL is",
        ),
    ],
)
def test_a_wrong_address_of_a_cluster_is_said_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(redis_url=url)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_servers_of_an_address_have_its_user_database_and_options() -> None:
    several = RedisAddress.of(
        "rediss+sentinel://me:a%2Fb@one,two:7,[::1]:8/my%20name/3"
        "?sentinel_password=c%2Fd&ssl_cert_reqs=none&client_name=x&prefix=p:"
    )
    assert several.hosts == (("one", 26379), ("two", 7), ("::1", 8))
    assert (several.primary, several.prefix) == ("my name", "p:")
    options = "ssl_cert_reqs=none&client_name=x"
    assert several.server("::2", 9) == f"rediss://me:a%2Fb@[::2]:9/3?{options}"
    assert several.sentinel("one", 26379) == "rediss://:c%2Fd@one:26379?ssl_cert_reqs=none"
    nodes = RedisAddress.of("redis+cluster://me@one,two:7")
    assert nodes.hosts == (("one", 6379), ("two", 7))
    assert nodes.server("three", 8) == "redis://me@three:8"


def test_every_option_that_is_taken_works_for_both_kinds_of_client(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    certificate = new_certificate(tmp_path / "tls")
    chain, key = certificate.chain, certificate.key
    for url in (
        f"redis://127.0.0.1:{server.port}?db=2&client_name=me",
        (
            "rediss://127.0.0.1?ssl_cert_reqs=none&ssl_check_hostname=false&ssl_ciphers=HIGH&"
            f"ssl_ca_certs={chain}&ssl_certfile={chain}&ssl_keyfile={key}&username=me&password={SECRET}"
        ),
    ):
        assert load_settings(redis_url=url).redis_url == url
        new_pool(url).make_separate()
        new_sync_pool(url, timeout_s=1).make_connection()
    with closing(connect_blocking(f"redis://127.0.0.1:{server.port}?db=2&client_name=me")) as store:
        info = store.call(command("CLIENT INFO"))
        assert info["db"] == 2


@pytest.mark.parametrize(
    "url",
    [
        f"redis://me:{SECRET}@host:1/0",
        f"redis://:{SECRET}@host",
        f"redis://{SECRET}@host",
        f"redis://host?password={SECRET}",
        f"unix:///path?db=1&password={SECRET}&client_name=me",
        f"redis://host?pass%77ord={SECRET}",
        f"rediss://host?ssl_password={SECRET}",
        f"redis://:1#{SECRET}@host",
        f"redis://:1?{SECRET}@host",
        f"redis://:1/{SECRET}@host/0",
        f"redis://:a@{SECRET}@host",
        f":{SECRET}@host",
        f"host?password={SECRET}",
        f"http://me:{SECRET}@host",
        f"redis+sentinel://:{SECRET}@host,b/name",
        f"redis+sentinel://host/name?sentinel_password={SECRET}",
        f"rediss+cluster://me:{SECRET}@host,b",
    ],
)
async def test_no_message_has_the_password_of_an_address(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SECRET not in redacted(url)
    assert "host" in redacted(url) or "/path" in redacted(url)
    monkeypatch.setenv("STEPWIRE_REDIS_URL", url)
    monkeypatch.setenv("STEPWIRE_LEASE_S", "none")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert SECRET not in str(raised.value)
    for use in (connect, connect_blocking):
        with suppress(SettingsError):
            use(url)
            continue
        with pytest.raises(SettingsError) as raised:
            use(url)
        assert SECRET not in str(raised.value)


def test_what_is_not_secret_in_an_address_is_shown() -> None:
    assert redacted("redis://me:secret@host:1/0") == "redis://me:***@host:1/0"
    for url in ("redis://host:1/0", "unix:///path?db=1&client_name=me", "rediss://host?timeout=1"):
        assert redacted(url) == url


async def line_of(url: str) -> str:
    with pytest.raises(SettingsError) as raised:
        await require(url, "STEPWIRE_REDIS_URL")
    [line] = str(raised.value).splitlines()
    assert SECRET not in line
    assert "STEPWIRE_REDIS_URL" in line
    return line


async def test_a_database_that_does_not_exist_is_one_line(server: EmbeddedServer) -> None:
    line = await line_of(f"redis://127.0.0.1:{server.port}/99")
    assert "the number of a database that it has" in line


@contextmanager
def answering(with_client: Callable[[socket.socket], object]) -> Iterator[int]:
    """A server on loopback that does this with each connection; its port."""
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        clients = []
        while not over.is_set():
            with suppress(TimeoutError):
                client, _ = listener.accept()
                clients.append(client)
                client.settimeout(0.1)
                with suppress(OSError):
                    with_client(client)
        for client in clients:
            client.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


def http(client: socket.socket) -> None:
    client.settimeout(5)
    client.recv(1024)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    client.close()


@pytest.mark.parametrize(
    ("scheme", "with_client", "said"),
    [
        ("redis", http, "an HTTP server answers there"),
        ("redis", lambda client: client.sendall(b"220 mail ESMTP\r\n"), "b'220 mail ESMTP"),
        ("redis", lambda _: None, "no Redis answers at redis://"),
        ("rediss", lambda _: None, "no Redis answers at rediss://"),
        ("redis", lambda client: client.close(), "no Redis answers at redis://"),
        ("redis", lambda client: client.sendall(b"-DENIED Redis is running"), "in protected mode"),
    ],
)
async def test_a_port_that_is_not_that_of_a_redis_is_one_line(
    scheme: str, with_client: Callable[[socket.socket], object], said: str
) -> None:
    with answering(with_client) as port:
        assert said in await line_of(f"{scheme}://:{SECRET}@127.0.0.1:{port}")


async def test_a_port_with_tls_is_one_line_that_says_so(tmp_path: Path) -> None:
    context = new_certificate(tmp_path / "tls").server_context()

    def tls(client: socket.socket) -> None:
        client.settimeout(5)
        with context.wrap_socket(client, server_side=True) as secure:
            secure.recv(1)

    with answering(tls) as port:
        assert "it speaks TLS: begin its address with rediss://" in await line_of(
            f"redis://127.0.0.1:{port}"
        )
        assert "its certificate is not trusted" in await line_of(f"rediss://127.0.0.1:{port}")


async def test_a_redis_without_tls_is_one_line_that_says_so(server: EmbeddedServer) -> None:
    line = await line_of(f"rediss://127.0.0.1:{server.port}")
    assert "it does not speak TLS: begin its address with redis://" in line


def own_address() -> str | None:
    """An address of this machine beside loopback; nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        address: str = probe.getsockname()[0]
        return None if address.startswith("127.") else address
    return None


async def test_a_redis_in_protected_mode_is_one_line(tmp_path: Path) -> None:
    if (host := own_address()) is None:
        pytest.skip("this machine has no address but loopback's")
    port = free_port()
    options = ["--bind", "0.0.0.0", "--protected-mode", "yes", "--save", "", "--dir", str(tmp_path)]  # noqa: S104
    running = subprocess.Popen(  # noqa: ASYNC220
        [server_program(), "--port", str(port), *options], stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: socket_is_open(port), "the server")
        assert "it is in protected mode" in await line_of(f"redis://{host}:{port}")
    finally:
        running.terminate()
        running.wait(20)


def socket_is_open(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False
