#!/usr/bin/env bash
# tools/demo.sh [PYTHON]: builds the extension for the machine's interpreter and shows the tour.
. "$(dirname "$0")/common.sh"
python=$(find_python "${1:-$(default_python)}") || die "no interpreter $1"
"$ROOT/tools/build_inplace" "$python" release >&2
PYTHONPATH=$ROOT/python exec "$python" -m bucle "$ROOT/examples/tour.py"
