"""`python -m bucle`: a program finds what it would find under plain `python`.

Most tests run one program both ways and compare all that it prints and how it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

import bucle

ROOT = Path(__file__).resolve().parents[3]


def execute(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    paths = [*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT / "python")]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | env,
    )


def write(folder: Path, name: str, source: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return path


SURROUNDINGS = """
import os, sys
import __main__
print(__name__, __file__, __spec__ and __spec__.name, __package__, __doc__)
print(sys.argv, sys.path[0], __main__.__dict__ is globals(), sys.modules["__main__"] is __main__)
print(sorted(name for name in globals() if name not in ("os", "sys")))
print(type(__loader__).__name__, __builtins__ is __import__("builtins"))
"""


@pytest.mark.parametrize(
    "how",
    [
        ["program.py", "-x", "--as-uvloop", "info"],
        ["inside/program.py"],
        ["-m", "package", "-m", "other"],
        ["-m", "package.tool"],
        ["folder"],
        ["program.zip", "argument"],
    ],
    ids=" ".join,
)
def test_a_program_finds_its_usual_surroundings(tmp_path: Path, how: list[str]) -> None:
    for name in ("program.py", "inside/program.py", "package/__main__.py", "package/tool.py"):
        write(tmp_path, name, SURROUNDINGS)
    write(tmp_path, "package/__init__.py", "")
    write(tmp_path, "folder/__main__.py", SURROUNDINGS)
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.writestr("__main__.py", SURROUNDINGS)
    plain = execute(*how, cwd=tmp_path)
    ours = execute("-m", "bucle", *how, cwd=tmp_path)
    assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, plain.stderr, 0)
    assert "__main__" in ours.stdout


@pytest.mark.parametrize(
    "ending",
    [
        "sys.exit(3)",
        "sys.exit('message')",
        "sys.exit()",
        "raise SystemExit(None)",
        "raise ValueError('bad')",
        "raise KeyboardInterrupt",
        "import asyncio; asyncio.run(outer())",
        "os._exit(7)",
        "import signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import atexit; atexit.register(print, 'at exit'); inner()",
        "sys.excepthook = lambda kind, error, trace: print(kind, trace.tb_lineno); inner()",
        "import threading; threading.Thread(target=print, args=('thread',)).start()",
        "value = = 1",
        "import does_not_exist",
    ],
)
def test_a_program_ends_as_usual(tmp_path: Path, ending: str) -> None:
    source = f"""\
import os, sys
def inner():
    raise LookupError("inner")
async def outer():
    raise SystemExit(4)
{ending}
"""
    write(tmp_path, "program.py", source)
    plain = execute("program.py", cwd=tmp_path)
    ours = execute("-m", "bucle", "program.py", cwd=tmp_path)
    assert ours.returncode == plain.returncode
    assert ours.stdout == plain.stdout
    assert ours.stderr == plain.stderr


@pytest.mark.parametrize("how", [["missing.py"], ["-m", "missing"], ["-m", "package"]])
def test_what_cannot_be_found_is_said_as_usual(tmp_path: Path, how: list[str]) -> None:
    write(tmp_path, "package/__init__.py", "")
    plain = execute(*how, cwd=tmp_path)
    ours = execute("-m", "bucle", *how, cwd=tmp_path)
    assert ours.returncode == plain.returncode != 0
    assert ours.stderr == plain.stderr


def test_a_failing_module_shows_only_its_own_frames(tmp_path: Path) -> None:
    write(tmp_path, "failing.py", "def inner():\n    raise LookupError('inner')\ninner()\n")
    ours = execute("-m", "bucle", "-m", "failing", cwd=tmp_path)
    assert ours.returncode == 1
    assert ours.stderr.startswith(
        f'Traceback (most recent call last):\n  File "{tmp_path}/failing.py", line 3'
    )


def test_the_program_runs_native(tmp_path: Path) -> None:
    write(
        tmp_path,
        "program.py",
        """
        import asyncio
        async def main():
            task = asyncio.current_task()
            for value in (asyncio.get_running_loop(), task, asyncio.Future()):
                print(type(value).__module__.partition(".")[0], type(value).__name__)
        asyncio.run(main())
        """,
    )
    ours = execute("-m", "bucle", "program.py", cwd=tmp_path)
    assert ours.stdout.split("\n") == ["bucle Loop", "bucle Task", "bucle Future", ""]


def test_multiprocessing_finds_the_program_again(tmp_path: Path) -> None:
    write(
        tmp_path,
        "program.py",
        """
        import multiprocessing
        def double(value):
            return 2 * value
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(double, [1, 2]))
        """,
    )
    ours = execute("-m", "bucle", "program.py", cwd=tmp_path)
    assert (ours.stdout, ours.returncode) == ("[2, 4]\n", 0), ours.stderr


def test_safe_path_is_respected(tmp_path: Path) -> None:
    write(tmp_path, "program.py", "import sys; print(sys.path)")
    assert (
        execute("-P", "-m", "bucle", "program.py", cwd=tmp_path).stdout
        == execute("-P", "program.py", cwd=tmp_path).stdout
    )


def test_as_uvloop_is_there_only_when_asked_for(tmp_path: Path) -> None:
    write(
        tmp_path,
        "program.py",
        "import sys\nm = sys.modules.get('uvloop')\nprint(m and m.Loop.__module__, sys.argv)\n",
    )
    without = execute("-m", "bucle", "program.py", "--as-uvloop", cwd=tmp_path)
    assert without.stdout == "None ['program.py', '--as-uvloop']\n"
    having = execute("-m", "bucle", "--as-uvloop", "program.py", "argument", cwd=tmp_path)
    assert having.stdout == f"{bucle.Loop.__module__} ['program.py', 'argument']\n"


def test_info_tells_versions_and_what_is_native(tmp_path: Path) -> None:
    ours = execute("-m", "bucle", "info", cwd=tmp_path)
    assert ours.returncode == 0, ours.stderr
    facts = dict(line.split(maxsplit=1) for line in ours.stdout.splitlines())
    assert facts["bucle"] == bucle.__version__
    assert facts["libuv"] == bucle.libuv_version()
    assert facts["built"] in {"profile-guided", "without a profile"}
    assert {"Loop", "Task", "Queue", "gather"} <= set(facts["native"].split(", "))
    assert facts["self-test"].startswith("passed")


def test_info_as_json(tmp_path: Path) -> None:
    ours = execute("-m", "bucle", "info", "--json", cwd=tmp_path)
    facts = json.loads(ours.stdout)
    assert facts["libuv"] == bucle.libuv_version()
    assert facts["self_test"]["registered_tasks"] is True
    natives = set(facts["native"])
    assert {"Loop", "Handle", "TimerHandle", "Future", "Lock", "TaskGroup", "wait"} <= natives
    assert "all_tasks" not in natives
    assert facts["native"]["Queue"] == "asyncio.queues.Queue"
    assert facts["native"]["gather"] == "asyncio.gather"


@pytest.mark.parametrize("arguments", [[], ["-m"], ["--unknown"], ["info", "--yaml"]])
def test_a_wrong_command_line_is_explained(tmp_path: Path, arguments: list[str]) -> None:
    ours = execute("-m", "bucle", *arguments, cwd=tmp_path)
    assert ours.returncode == 2
    assert ours.stderr.startswith("usage: python -m bucle")
    assert ours.stdout == ""


@pytest.mark.parametrize(
    ("option", "text"), [("--help", "usage: python"), ("--version", f"bucle {bucle.__version__}")]
)
def test_help_and_version(tmp_path: Path, option: str, text: str) -> None:
    ours = execute("-m", "bucle", option, cwd=tmp_path)
    assert (ours.returncode, ours.stderr) == (0, "")
    assert ours.stdout.startswith(text)


def test_import_costs_little_over_asyncio(tmp_path: Path) -> None:
    # Modules, not milliseconds: what takes time at import is what is imported.
    source = (
        "import sys, asyncio; had = set(sys.modules); import bucle; print(*set(sys.modules) - had)"
    )
    extra = set(execute("-c", source, cwd=tmp_path).stdout.split())
    foreign = {name for name in extra if not name.startswith("bucle")}
    # typing is there for the metaclass, which has to agree with that of Protocol; the other one is
    # asked on 3.11 only, for which interpreter this is.
    assert foreign <= {"__future__", "typing", "_typing", "_xxsubinterpreters"}
    assert not {"bucle.policy", "bucle.as_uvloop", "bucle._info"} & extra
