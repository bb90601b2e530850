"""Compare the list of chainlit's public names with the library itself.

    python benchmarks/chainlit_names.py            with the chainlit of chainlit_peer.py
    python benchmarks/chainlit_names.py PYTHON     with that of another interpreter

It fails if the list lacks a name, or has one that the library lacks.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from chainlit_peer import FOLDER, missing
from stepwire._chainlit import HERE, INSTEAD

_PROGRAM: Final = """
import json, chainlit
print(json.dumps([chainlit.__version__, sorted(chainlit.__all__)]))
"""


def main(arguments: list[str]) -> int:
    if not arguments and (problem := missing()):
        print(problem, file=sys.stderr)
        return 2
    python = shutil.which(arguments[0] if arguments else FOLDER / "bin" / "python")
    if python is None:
        print(f"cannot find the interpreter {arguments[0]}", file=sys.stderr)
        return 2
    # It writes its configuration into the working directory when it is imported.
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [Path(python).absolute(), "-c", _PROGRAM],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    version, names = json.loads(done.stdout.splitlines()[-1])
    listed = HERE | INSTEAD.keys()
    for name in sorted(listed ^ set(names)):
        print(f"{name}: {'not in the list' if name in names else 'not in the library any more'}")
    print(f"chainlit {version} has {len(names)} public names, {len(HERE)} of them are here, too")
    return int(listed != set(names))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
