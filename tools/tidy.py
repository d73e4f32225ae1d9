#!/usr/bin/env python3
"""Run clang-tidy on the sources that changed since it last found nothing in them.

`tidy.py PYTHON [--all]`. "Changed" is decided by content: a stamp is the hash of the source, of all
project headers that it reaches, and of the checks' configuration. So an edited header brings back
the files that use it, and a fresh clone on the same machine need not start over. --all ignores the
stamps. As many files run at once as there are cores.
"""

import hashlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMPS = Path.home() / ".cache" / "bucle" / "tidy"
TIDY = Path(sys.executable).parent / "clang-tidy"


def reached(source: Path, seen: set[Path]) -> None:
    """Add the source and every project header that it includes, however deep."""
    if source in seen or not source.is_file():
        return
    seen.add(source)
    for name in re.findall(r'(?m)^#include "([^"]+)"', source.read_text()):
        reached(ROOT / "src" / name, seen)


def stamp_of(source: Path, configuration: bytes) -> Path:
    files: set[Path] = set()
    reached(source, files)
    digest = hashlib.sha256(configuration)
    for file in sorted(files):
        digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return STAMPS / digest.hexdigest()


def configure(python: str) -> Path:
    """Make the compilation database; the build environment of build_inplace has all it needs."""
    version = subprocess.check_output(
        [python, "-c", "import platform; print(platform.python_version())"], text=True
    ).strip()
    interpreter = ROOT / "build" / "venvs" / f"build-{version}" / "bin" / "python"
    build = ROOT / "build" / f"tidy-{version}"
    search = f"{interpreter.parent}:{os.environ['PATH']}"
    options = ["-DBUCLE_TESTS=OFF", f"-DPython_EXECUTABLE={interpreter}"]
    subprocess.run(
        ["cmake", "-S", str(ROOT), "--preset", "tidy", "-B", str(build), *options],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PATH": search},
    )
    return build


def run(build: Path, source: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    command = [str(TIDY), "-p", str(build), "--quiet", str(source)]
    return source, subprocess.run(command, capture_output=True, text=True, check=False)


def main() -> int:
    build = configure(sys.argv[1])
    configuration = (ROOT / ".clang-tidy").read_bytes() + subprocess.check_output(
        [TIDY, "--version"]
    )
    stamps = {
        source: stamp_of(source, configuration) for source in sorted(ROOT.glob("src/**/*.cpp"))
    }
    changed = [s for s, stamp in stamps.items() if "--all" in sys.argv or not stamp.exists()]
    STAMPS.mkdir(parents=True, exist_ok=True)
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, done in pool.map(partial(run, build), changed):
            if done.returncode:
                failed += 1
                print(done.stdout)
                if "error:" not in done.stdout:
                    print(done.stderr)
            else:
                stamps[source].touch()
    print(f"clang-tidy: {len(changed)} of {len(stamps)} files looked at, {failed} with findings")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
