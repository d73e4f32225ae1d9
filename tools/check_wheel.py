#!/usr/bin/env python3
"""Check a finished wheel: `check_wheel.py WHEEL`; prints what is in it, exits 1 at a fault.

It must hold the package with its stub and marker, the licences of all that is in it, exactly one
extension of at most two megabytes without debug information, and nothing from outside the package.
"""

import sys
import zipfile
from pathlib import Path

EXTENSION_LIMIT = 2 * 1024 * 1024
NEEDED = ("bucle/__init__.py", "bucle/_core.pyi", "bucle/py.typed", "bucle/__main__.py")
LICENCES = ("LICENSE", "THIRD_PARTY.md")


def faults(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
        extensions = [n for n in entries if n.startswith("bucle/_core.") and n.endswith(".so")]
        found = [f"{name} is missing" for name in NEEDED if name not in entries]
        for licence in LICENCES:
            if not any(name.endswith(f".dist-info/licenses/{licence}") for name in entries):
                found.append(f"{licence} is missing")
        if len(extensions) != 1:
            found.append(f"one extension expected, found {extensions}")
        for name in extensions:
            if entries[name].file_size > EXTENSION_LIMIT:
                found.append(f"{name} has {entries[name].file_size} bytes")
            if b".debug_info" in archive.read(name):
                found.append(f"{name} is not stripped")
        own = ("bucle/", "bucle.libs/", "bucle-")
        found += [f"{name} does not belong there" for name in entries if not name.startswith(own)]
        for name, entry in sorted(entries.items()):
            if name.endswith(".so") or ".so." in name:
                print(f"{entry.file_size:>9} {name}")
    print(f"{wheel.stat().st_size:>9} {wheel.name}")
    return found


def main() -> int:
    found = faults(Path(sys.argv[1]))
    for line in found:
        print("wheel:", line, file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
