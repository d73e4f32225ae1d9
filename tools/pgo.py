#!/usr/bin/env python3
"""Compile the extension by a profile of itself: `pgo.py PYTHON [DIR]`.

Builds it with counters, runs the benchmarks on it for the profile, and builds it again by what was
counted, into DIR (build/guided-VERSION without one). Prints the profile's folder, which a wheel's
build is given, too. Nothing is trained again while the sources stay: the profile's folder says of
which ones it is.

A profile is worth 15 to 30 % where the interpreter's own share is small: docs/performance.md.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("src", "cmake", "benchmarks", "python", "CMakeLists.txt", "CMakePresets.json")
KINDS = {".cpp", ".hpp", ".py", ".txt", ".json", ".cmake"}
# What the networking subjects serve is driven by our own generator; the rows that need other
# servers would only tell of those.
NETWORK = (
    "protocol_echo_1,protocol_echo_50,streams_echo_50,split_write_50,bulk_stream,readline_64,"
    "udp_echo,short_connections,sock_ready,sock_ping_pong,getaddrinfo_literal"
)
TRAINING = (("core", ""), ("sync", ""), ("combine", ""), ("net", NETWORK))


def run(*command: str | Path, **environment: str) -> str:
    """Run a command of the checkout; what it prints goes to standard error."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        # ccache writes paths anew, by which the compiler knows the functions of a profile
        env=os.environ | {"CCACHE_DISABLE": "1"} | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"error: {command[0]} failed\n{done.stdout}")
    return done.stdout


def fingerprint(python: str) -> str:
    """Tell the sources, the compiler and the interpreter from others."""
    digest = hashlib.sha256()
    for name in SOURCES:
        path = ROOT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.suffix in KINDS:
                digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    digest.update(run("g++", "--version").encode())
    digest.update(run(python, "-VV").encode())
    return digest.hexdigest()


def train(python: str, tag: str, profile: Path) -> None:
    """Make the profile."""
    shutil.rmtree(profile, ignore_errors=True)
    into = ROOT / "build" / f"training-into-{tag}"
    load = ROOT / "build" / f"load-{tag}"
    say(f"a profile for {tag}")
    where = f"-DBUCLE_PROFILE_DIR={profile}"
    run(ROOT / "tools" / "build_inplace", python, "training", where, BUCLE_INTO=str(into))
    run(ROOT / "tools" / "build_load", load)
    for subject, only in TRAINING:
        options = ["--loops", "bucle,bucle+install", "--rounds", "1"]
        options += ["--only", only] if only else []
        run(
            *(python, "-m", "benchmarks", subject, *options),
            PYTHONPATH=str(into),
            BUCLE_LOAD=str(load),
        )


def say(text: str) -> None:
    sys.stderr.write(f"==> {text}\n")


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: tools/pgo.py PYTHON [DIR]")
    python = shutil.which(sys.argv[1]) or sys.exit(f"error: no interpreter {sys.argv[1]}")
    asked = "import platform; print(platform.python_version())"
    tag = run(python, "-c", asked).strip()
    into = sys.argv[2] if len(sys.argv) == 3 else str(ROOT / "build" / f"guided-into-{tag}")
    profile = ROOT / "build" / f"profile-{tag}"
    stamp = profile / "sources.txt"
    wanted = fingerprint(python)
    if not stamp.exists() or stamp.read_text() != wanted:
        train(python, tag, profile)
        stamp.write_text(wanted)
    where = f"-DBUCLE_PROFILE_DIR={profile}"
    run(ROOT / "tools" / "build_inplace", python, "guided", where, BUCLE_INTO=into)
    print(profile)


if __name__ == "__main__":
    main()
