"""The firewall, the network links and the forwarding of this machine, which an engine changes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")


@contextmanager
def left_as_it_was() -> Iterator[None]:
    """Firewall, network links and forwarding are afterwards what they were before.

    Raises:
        AssertionError: they are not.
    """
    firewall, links, forwarding = _rules(), _links(), _FORWARDING.read_text()
    before = _text_of_rules()
    try:
        yield
    finally:
        for link in _links() - links:
            # A pair goes as one: the other end may be gone already.
            _run("ip", "link", "delete", link, check=False)
        _run("iptables-restore", stdin=before + _empty_tables(before))
        _FORWARDING.write_text(forwarding)
    assert (_rules(), _links(), _FORWARDING.read_text()) == (firewall, links, forwarding)


def _links() -> set[str]:
    return {link["ifname"] for link in json.loads(_run("ip", "-json", "link"))}


def _text_of_rules() -> str:
    return _run("iptables-save")


def _rules() -> set[tuple[str, str]]:
    """By table: rules, chains beside the kernel's own, and policies other than to accept."""
    found, table = set(), ""
    for line in _text_of_rules().splitlines():
        if line.startswith("*"):
            table = line
        elif line.startswith("-A"):
            found.add((table, line))
        elif line.startswith(":"):
            chain, policy, _ = line.split()
            if policy != "ACCEPT":
                found.add((table, f"{chain} {policy}"))
    return found


def _empty_tables(before: str) -> str:
    """For iptables-restore: those tables that only came later, as the kernel has them at first."""
    text, known = "", set(before.splitlines())
    for section in _text_of_rules().split("*")[1:]:
        name, *lines = section.splitlines()
        if f"*{name}" not in known:
            chains = [line.split()[0] for line in lines if line[:1] == ":" and " - " not in line]
            text += "".join([f"*{name}\n", *(f"{chain} ACCEPT [0:0]\n" for chain in chains)])
            text += "COMMIT\n"
    return text


def _run(*command: str, stdin: str | None = None, check: bool = True) -> str:
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=check
    ).stdout
