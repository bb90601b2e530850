"""``python -m client``: builds the TypeScript client and runs its unit tests."""

from __future__ import annotations

import sys

from client.package import build, npm

build()
done = npm("test", "--silent")
print(done.stdout, done.stderr, sep="", end="")
sys.exit(done.returncode)
