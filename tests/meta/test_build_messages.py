"""A build that cannot succeed stops with one sentence that says what to do about it.

CMake configures the checkout in an environment from which one thing is missing: no compiler on the
PATH, no libuv for pkg-config, an interpreter that says it has no GIL, no pybind11 in it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CMAKE = shutil.which("cmake")
NINJA = shutil.which("ninja")
pytestmark = pytest.mark.skipif(
    not (CMAKE and NINJA), reason="cmake and ninja are not on the PATH of this environment"
)


def configure(build: Path, *options: str, **environment: str) -> tuple[int, str]:
    """The exit status and what CMake says, its lines joined: it wraps long messages."""
    command = [str(CMAKE), "-S", str(ROOT), "-B", str(build), "-G", "Ninja"]
    command += [f"-DCMAKE_MAKE_PROGRAM={NINJA}", f"-DPython_EXECUTABLE={sys.executable}", *options]
    cleaned = {k: v for k, v in os.environ.items() if k not in ("CXX", "CC", "PYTHONPATH")}
    done = subprocess.run(
        command, capture_output=True, text=True, env=cleaned | environment, check=False
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def stand_in(folder: Path, name: str, text: str) -> Path:
    """A module that takes the place of another in the interpreter that CMake asks."""
    folder.mkdir()
    (folder / f"{name}.py").write_text(text)
    return folder


@pytest.fixture
def pybind11(tmp_path: Path) -> str:
    """The option for a pybind11: it is asked for before libuv, and need not be here."""
    package = tmp_path / "pybind11"
    package.mkdir()
    (package / "pybind11Config.cmake").write_text("")
    (package / "pybind11ConfigVersion.cmake").write_text(
        "set(PACKAGE_VERSION 3.0)\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n"
    )
    return f"-Dpybind11_DIR={package}"


def test_without_a_compiler(tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    status, said = configure(tmp_path / "build", PATH=str(empty))
    assert status != 0
    assert "bucle needs a C++20 compiler: apt install g++" in said


def test_without_libuv(tmp_path: Path, pybind11: str) -> None:
    status, said = configure(tmp_path / "build", pybind11, PKG_CONFIG_LIBDIR=str(tmp_path))
    assert status != 0
    assert "bucle needs libuv 1.44 or newer with its headers: apt install libuv1-dev" in said


def test_without_pybind11(tmp_path: Path) -> None:
    shadow = stand_in(tmp_path / "path", "pybind11", "raise SystemExit(1)\n")
    status, said = configure(tmp_path / "build", PYTHONPATH=str(shadow))
    assert status != 0
    assert "bucle needs pybind11 3.0 or newer" in said
    assert "-m pip install 'pybind11>=3.0'" in said


def test_free_threaded_interpreters_are_refused(tmp_path: Path) -> None:
    text = "import sysconfig\nsysconfig.get_config_var = lambda name: name == 'Py_GIL_DISABLED'\n"
    shadow = stand_in(tmp_path / "path", "sitecustomize", text)
    status, said = configure(tmp_path / "build", PYTHONPATH=str(shadow))
    assert status != 0
    assert "bucle does not support free-threaded Python yet" in said


def test_a_folder_that_is_not_libuv_is_named(tmp_path: Path, pybind11: str) -> None:
    status, said = configure(tmp_path / "build", pybind11, f"-DBUCLE_LIBUV_SOURCE_DIR={tmp_path}")
    assert status != 0
    assert f"BUCLE_LIBUV_SOURCE_DIR={tmp_path} is not libuv's source" in said


def test_a_profile_is_made_or_used(tmp_path: Path) -> None:
    status, said = configure(tmp_path / "build", "-DBUCLE_PROFILE=guess")
    assert status != 0
    assert "BUCLE_PROFILE is generate or use, not guess" in said
