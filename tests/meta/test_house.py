"""The house rules hold for the checkout, and each rule can find what it is there to find."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _check_house() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_house", ROOT / "tools/check_house.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


house = _check_house()
HEAD = "// A file.\n"
# rule -> (path, text) pairs that it must find something in
BROKEN: dict[str, list[tuple[str, str]]] = {
    "layers": [
        ("src/base/a.hpp", HEAD + '#include "py/ref.hpp"\n'),
        ("src/base/a.hpp", HEAD + "#include <Python.h>\n"),
        ("src/core/task.cpp", HEAD + '#include "loop/loop.hpp"\n'),
        ("src/core/task.cpp", HEAD + '#include "uv/loop.hpp"\n'),
        ("src/uv/loop.cpp", HEAD + '#include "py/ref.hpp"\n'),
        ("src/sync/lock.cpp", HEAD + '#include "combine/wait.hpp"\n'),
        ("src/streams/reader.cpp", HEAD + '#include "uv/loop.hpp"\n'),
        ("src/loop/loop.cpp", HEAD + '#include "sync/lock.hpp"\n'),
        ("src/net/pipe.cpp", HEAD + '#include "uv/loop.hpp"\n'),
        ("src/net/pipe.cpp", HEAD + '#include "combine/child.hpp"\n'),
        ("src/py/call.cpp", HEAD + "#include <pybind11/pybind11.h>\n"),
        ("src/loop/loop.cpp", HEAD + "#include <uv.h>\n"),
        ("src/loop/loop.cpp", HEAD + "#  include <pybind11/pybind11.h>\n"),
        ("src/attic/a.cpp", HEAD),
    ],
    "reference_counts": [
        ("src/core/task.cpp", HEAD + "Py_INCREF(x);\n"),
        ("src/module.cpp", HEAD + "Py_CLEAR(x);\n"),
        ("src/loop/loop.cpp", HEAD + "return Py_NewRef(x);\n"),
    ],
    "libuv_calls": [("src/loop/loop.cpp", HEAD + "uv_run(loop, UV_RUN_ONCE);\n")],
    "versions": [
        ("src/core/task.cpp", HEAD + "#if PY_VERSION_HEX >= 0x030E0000\n"),
        ("src/uv/loop.cpp", HEAD + "#if UV_VERSION_HEX >= 0x12D00\n"),
        ("python/bucle/runner.py", '"""A."""\nif sys.version_info >= (3, 12):\n'),
    ],
    "lengths": [
        ("src/core/task.cpp", HEAD + "x\n" * 600),
        ("python/bucle/loop.py", "x\n" * 501),
        ("tests/unit/test_x.py", "x\n" * 801),
        ("Makefile", "x" * 101),
    ],
    "debts": [("docs/index.md", "later: " + house.WORDS_OF_DEBT[0])],
    "openings": [
        ("src/core/task.cpp", "#include <vector>\n"),
        ("python/bucle/loop.py", "import sys\n"),
        ("tools/x.sh", "#!/usr/bin/env bash\nset -e\n"),
    ],
}
# what looks like a finding and is none
SOUND = [
    ("src/core/task.cpp", HEAD + '#include "core/task.hpp"\n#include "py/ref.hpp"\n'),
    ("src/loop/loop.cpp", HEAD + '#include "uv/loop.hpp"\n#include "core/task.hpp"\n'),
    ("src/loop/loop.cpp", HEAD + '// uv_run() and Py_INCREF are elsewhere\nauto s = "uv_run(";\n'),
    ("src/py/ref.hpp", HEAD + "Py_XDECREF(x);\n"),
    ("src/py/compat.hpp", HEAD + "#if PY_VERSION_HEX >= 0x030E0000\n"),
    ("src/uv/loop.cpp", HEAD + "#include <uv.h>\nuv_run(loop, UV_RUN_ONCE);\n"),
    ("tests/unit/test_x.py", '"""A."""\nif sys.version_info >= (3, 12):\n    pass\n'),
]


def test_the_house_stands() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/check_house.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_an_example_that_breaks_it() -> None:
    assert {rule.__name__ for rule in house.RULES} == set(BROKEN)


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [(rule, path, text) for rule, examples in BROKEN.items() for path, text in examples],
)
def test_a_rule_finds_what_breaks_it(rule: str, path: str, text: str) -> None:
    assert list(getattr(house, rule)(path, text))


@pytest.mark.parametrize(("path", "text"), SOUND)
def test_no_rule_finds_anything_in_what_is_sound(path: str, text: str) -> None:
    assert house.findings(path, text) == []


def test_a_line_number_survives_comments() -> None:
    text = HEAD + "/* one\n two */\n// three\nPy_INCREF(x);\n"
    assert [number for number, _ in house.reference_counts("src/core/a.cpp", text)] == [5]
