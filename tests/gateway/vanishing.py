"""Run in a network of its own: its clients vanish, as on a machine that loses power."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import embedded_server
from wire import Wire, request

CLIENTS = 5
ESTABLISHED = "01"


def main(folder: Path) -> None:
    link("up")
    with embedded_server() as server, Stack(folder, server.url) as stack:
        gateway = stack.gateway(STEPWIRE_SEND_TIMEOUT_S="2", STEPWIRE_PING_S="0.5")
        session = gateway.create_session()
        gateway.client.close()
        wires = [Wire(gateway.port) for _ in range(CLIENTS)]
        for wire in wires:
            wire.send(request("GET", f"/v1/sessions/{session}/events"))
            assert wire.head().status == 200
        wait_until(lambda: connections(gateway) == CLIENTS, "all are connected")
        link("down")
        wait_until(lambda: connections(gateway) == 0, "the gateway has given them up", 60)
        link("up")


def link(state: str) -> None:
    subprocess.run([shutil.which("ip") or "ip", "link", "set", "lo", state], check=True)


def connections(gateway: Gateway) -> int:
    """The gateway's ends of its clients' connections, as the kernel has them."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    port = f":{gateway.port:04X}"
    return sum(row[1].endswith(port) and row[3] == ESTABLISHED for row in rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
