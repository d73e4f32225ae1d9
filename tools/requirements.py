#!/usr/bin/env python3
"""Print the requirements of the dependency groups named on the command line, one a line.

pip has understood `--group` since 25.1 only, and the environments start from the pip that an
interpreter brings along. Reading the groups here keeps pyproject.toml the only place with versions.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def requirements(groups: dict[str, list[Any]], name: str) -> list[str]:
    """The requirements of one group, those of the groups that it includes in their place."""
    found: list[str] = []
    for entry in groups[name]:
        if isinstance(entry, dict):
            found += requirements(groups, entry["include-group"])
        else:
            found.append(entry)
    return found


def main() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    for name in sys.argv[1:]:
        print(*requirements(groups, name), sep="\n")


if __name__ == "__main__":
    main()
