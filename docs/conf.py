"""Settings of the manual: Sphinx with MyST Markdown and the furo theme.

Built by `make docs` with warnings as errors (-W -n). The version is the package's own, read from
its source so that the manual can be built without compiling anything.
"""

import re
from pathlib import Path

_INIT = Path(__file__).parent.parent / "python" / "bucle" / "__init__.py"
_VERSION = re.search(r'^__version__ = "([^"]+)"', _INIT.read_text(), re.M)
assert _VERSION is not None

project = "bucle"
author = "The bucle contributors"
project_copyright = "The bucle contributors"
release = version = _VERSION[1]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = f"bucle {release}"
