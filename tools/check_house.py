#!/usr/bin/env python3
"""Check the rules that keep the house standing; print one line a finding, exit 1 if there is any.

What no general linter knows: which room may include which, that reference counts are touched only
behind the door to CPython and libuv only behind its own, that versions are known to four files,
that files stay short, say at their top what they are, and leave no note of work undone. Each rule
is a function from a file's path and text to its findings; tests/meta proves that each can find.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
Finding = tuple[int, str]
Rule = Callable[[str, str], Iterator[Finding]]

# room -> rooms whose headers it may include, itself left out
BELOW: dict[str, frozenset[str]] = {"base": frozenset()}
BELOW["py"] = frozenset({"base"})
BELOW["uv"] = frozenset({"base"})
BELOW["core"] = frozenset({"py", "base"})
BELOW["sync"] = BELOW["core"] | {"core"}
BELOW["combine"] = BELOW["sync"] | {"sync"}
BELOW["loop"] = BELOW["sync"] | {"uv"}
BELOW["net"] = BELOW["sync"] | {"loop"}
BELOW["streams"] = BELOW["combine"] | BELOW["net"] | {"combine", "net"}

# header of a foreign world -> rooms that may include it; "" is src/module.cpp
FOREIGN = {
    "Python.h": frozenset(BELOW) - {"base", "uv"} | {""},
    "uv.h": frozenset({"uv"}),
    "pybind11/": frozenset({""}),
}

COLUMNS = 100
WORDS_OF_DEBT = ("TO" + "DO", "FIX" + "ME", "X" * 3)
VERSION_FILES = {
    r"\bPY_(VERSION_HEX|MAJOR_VERSION|MINOR_VERSION)\b": (
        "src/py/compat.hpp",
        "src/py/asyncio_abi.",
    ),
    r"\bUV_VERSION_\w+": ("src/uv/compat.hpp",),
    r"\b(sys\.version_info|sys\.hexversion|python_version_tuple)\b": ("python/bucle/_compat.py",),
}


def room_of(path: str) -> str | None:
    """The room a source file lives in, "" for src/module.cpp, None outside src/."""
    parts = path.split("/")
    if parts[0] != "src" or not path.endswith((".hpp", ".cpp")):
        return None
    return parts[1] if len(parts) > 2 else ""


def code_of(path: str, text: str) -> list[str]:
    """The lines of C++ without comments and without what strings contain; other text as it is."""
    if path.endswith((".hpp", ".cpp")):
        pattern = r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\""
        keep = {'"': '""', "/": ""}

        def blank(found: re.Match[str]) -> str:
            return keep[found[0][0]] + "\n" * found[0].count("\n")

        # an include's file name is a string that matters
        lines = re.sub(r"(?m)^(#include )\"([^\"\n]*)\"", r"\1<\2>", text)
        text = re.sub(pattern, blank, lines, flags=re.DOTALL)
    return text.split("\n")


def layers(path: str, text: str) -> Iterator[Finding]:
    """Includes point downwards, foreign headers come in by their own door."""
    room = room_of(path)
    if room is None:
        return
    if room and room not in BELOW:
        yield 1, f"src/{room} is no room of the house"
        return
    for number, line in enumerate(code_of(path, text), 1):
        found = re.match(r"#\s*include\s*<([^>]+)>", line)
        if not found:
            continue
        name = found[1]
        target = name.split("/")[0]
        if room and target in BELOW and "/" in name and target not in BELOW[room] | {room}:
            yield number, f"{room} may not include {target}"
        for foreign, rooms in FOREIGN.items():
            if (name == foreign or (foreign[-1] == "/" and name.startswith(foreign))) and (
                room not in rooms
            ):
                yield number, f"{name} may not be included here"


def reference_counts(path: str, text: str) -> Iterator[Finding]:
    """Reference counts are touched by hand only in src/py."""
    if room_of(path) in (None, "py"):
        return
    bare = r"\bPy_(X?INCREF|X?DECREF|CLEAR|X?NewRef|X?SETREF|SETREF)\b"
    for number, line in enumerate(code_of(path, text), 1):
        if found := re.search(bare, line):
            yield number, f"{found[0]} outside src/py: use py::Ref"


def libuv_calls(path: str, text: str) -> Iterator[Finding]:
    """libuv is called only in src/uv."""
    if room_of(path) in (None, "uv"):
        return
    for number, line in enumerate(code_of(path, text), 1):
        if found := re.search(r"\buv_\w+(?=\s*\()", line):
            yield number, f"{found[0]}() outside src/uv"


def versions(path: str, text: str) -> Iterator[Finding]:
    """Conditions on a version stand only in the files that exist for them."""
    if not path.startswith(("src/", "python/")):
        return
    for number, line in enumerate(code_of(path, text), 1):
        for pattern, files in VERSION_FILES.items():
            if (found := re.search(pattern, line)) and not path.startswith(files):
                yield number, f"{found[0]} belongs to {' or '.join(files)}"


def lengths(path: str, text: str) -> Iterator[Finding]:
    """No file and no line too long to be read."""
    lines = text.split("\n")
    if path.startswith("tests/"):
        limit = 800
    elif path.endswith((".hpp", ".cpp")):
        limit = 600
    else:
        limit = 500
    if path.endswith((".hpp", ".cpp", ".py", ".pyi", ".sh")) and len(lines) > limit + 1:
        yield len(lines), f"{len(lines)} lines, at most {limit}"
    if path.endswith(".md"):
        return  # a table's row cannot be wrapped
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS:
            yield number, f"{len(line)} columns, at most {COLUMNS}"


def debts(path: str, text: str) -> Iterator[Finding]:
    """What is to be done is said elsewhere, not in the code."""
    for number, line in enumerate(text.split("\n"), 1):
        if found := re.search(rf"\b({'|'.join(WORDS_OF_DEBT)})\b", line):
            yield number, f"{found[0]} left in the text"


def openings(path: str, text: str) -> Iterator[Finding]:
    """A file says at its top what it is."""
    if not text.strip() or path.endswith((".md", ".json")):
        return
    said = True
    if path.endswith((".hpp", ".cpp")):
        said = text.startswith(("// ", "/* "))
    elif path.endswith((".py", ".pyi")):
        said = bool(ast.get_docstring(ast.parse(text))) or text.startswith("# ")
    elif path.startswith(("tools/", ".ci/")) or path.endswith(".cmake"):
        head = text.split("\n", 2)
        said = head[1 if head[0].startswith("#!") else 0].startswith("# ")
    if not said:
        yield 1, "opens without a word on what it is"


RULES: tuple[Rule, ...] = (
    layers,
    reference_counts,
    libuv_calls,
    versions,
    lengths,
    debts,
    openings,
)
SUFFIXES = (".hpp", ".cpp", ".py", ".pyi", ".sh", ".cmake", ".md", ".toml", ".json", ".txt")


def checked_files() -> list[str]:
    """What git tracks or would track, as far as it is text of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    return sorted(
        path
        for path in listed
        if (path.endswith(SUFFIXES) or path.startswith(("tools/", ".ci/")))
        and not path.startswith("benchmarks/results/")
        and (ROOT / path).is_file()
    )


def findings(path: str, text: str) -> list[str]:
    return [f"{path}:{number}: {message}" for rule in RULES for number, message in rule(path, text)]


def main() -> int:
    found = [line for path in checked_files() for line in findings(path, (ROOT / path).read_text())]
    print("\n".join(found) if found else "the house stands")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
