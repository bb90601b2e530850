"""Prints what the project needs, with these extras, as pip takes it: without the project itself.

    python dependencies.py worker s3

The Dockerfile installs it before it copies any of our code.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

if __name__ == "__main__":
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    lines: list[str] = project["dependencies"]
    for extra in sys.argv[1:]:
        lines += project["optional-dependencies"][extra]
    sys.stdout.write("\n".join(lines) + "\n")
