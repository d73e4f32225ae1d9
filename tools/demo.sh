#!/usr/bin/env bash
# [PYTHON=3.14] tools/demo.sh: builds the extension in place and shows the tour.
. "$(dirname "$0")/common.sh"
pick_python
"$ROOT/tools/build_inplace" "$python" release >&2
PYTHONPATH=$ROOT/python exec "$python" -m bucle "$ROOT/examples/tour.py"
