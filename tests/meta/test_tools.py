"""What the Makefile, the dependency groups and the wheel check promise holds.

Every target is one script that exists and may be run; every tool has one version; a wheel with a
fault in it is not let through.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ["demo", "test", "test-all", "dev", "lint", "bench", "wheel", "asan", "tsan"]
TARGETS += ["docs", "clean"]


def tool(name: str) -> ModuleType:
    """A script of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_calls_one_script(target: str) -> None:
    found = re.search(rf"(?m)^{target}: *; @(tools/\S+)", (ROOT / "Makefile").read_text())
    assert found is not None
    assert os.access(ROOT / found[1], os.X_OK)


def test_every_dependency_has_one_version() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    pinned: dict[str, str] = {}
    for group in groups:
        lines = subprocess.run(
            [sys.executable, ROOT / "tools/requirements.py", group],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert lines
        for line in lines:
            name, version = line.split("==")
            assert pinned.setdefault(name, version) == version


def wheel(path: Path, changed: dict[str, bytes | None]) -> Path:
    """A wheel with all that one must hold, but for what is changed in it."""
    check = tool("check_wheel")
    entries: dict[str, bytes | None] = dict.fromkeys(check.NEEDED, b"")
    entries |= {f"bucle-0.dist-info/licenses/{name}": b"" for name in check.LICENCES}
    entries |= {"bucle/_core.cpython-313.so": b"\x7fELF"} | changed
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def test_a_sound_wheel_passes(tmp_path: Path) -> None:
    assert tool("check_wheel").faults(wheel(tmp_path / "bucle.whl", {})) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bucle/py.typed", None),
        ("bucle/_core.cpython-313.so", None),
        ("bucle/_core.cpython-313.so", b"\0" * (2 * 1024 * 1024 + 1)),
        ("bucle/_core.cpython-313.so", b"\x7fELF .debug_info"),
        ("bucle/_core.cpython-399.so", b"\x7fELF"),
        ("bucle-0.dist-info/licenses/THIRD_PARTY.md", None),
        ("tests/__init__.py", b""),
    ],
)
def test_a_faulty_wheel_does_not(tmp_path: Path, name: str, content: bytes | None) -> None:
    assert tool("check_wheel").faults(wheel(tmp_path / "bucle.whl", {name: content}))


def test_the_tally_adds_up_and_sees_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = tool("tally")
    monkeypatch.setattr(tally, "REPORTS", tmp_path)
    assert tally.main() == 1, "a run without a test is no success"
    text = '<testsuites><testsuite tests="5" failures="{}" errors="0" skipped="1"/></testsuites>'
    (tmp_path / "a.xml").write_text(text.format(0))
    assert tally.main() == 0
    (tmp_path / "b.xml").write_text(text.format(1))
    assert tally.main() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "7 passed, 1 failed, 2 skipped"


@pytest.mark.parametrize("script", [".ci/run", "tools/test_all.sh", "tools/sanitize.sh"])
def test_a_name_that_chooses_tests_is_that_of_some(script: str) -> None:
    """A filter whose name is nobody's any more chooses everything, or nothing, without a word."""
    tests = [path.read_text() for path in ROOT.glob("tests/**/test_*.py")]
    modules = (ROOT / "tests/conformance/modules.py").read_text()
    for expression in re.findall(r' -k "([^"]+)"', (ROOT / script).read_text()):
        for name in set(re.findall(r"\w+", expression)) - {"and", "or", "not"}:
            assert f'"{name}"' in modules or any(f"def {name}(" in text for text in tests), name
