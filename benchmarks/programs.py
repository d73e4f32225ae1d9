"""The compiled programs beside the event loops: the load generator and the libuv server.

``tools/build_load`` makes them of ``benchmarks/load``; ``tools/bench.sh net`` does that by itself
and names their folder in the environment.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmarks.workload import UnavailableError

FOLDER = "BUCLE_LOAD"
LIBUV_SERVER = "libuv_server"


def program(name: str) -> Path:
    """Return the path of a program, which has to be built."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        raise UnavailableError("the load generator is not built: use tools/bench.sh net")
    path = Path(folder) / name
    if not path.exists():
        raise UnavailableError(f"{path.name} is not built")
    return path


def version_of(name: str) -> str:
    """Ask a program for its version."""
    command = [str(program(name)), "version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
