#!/usr/bin/env bash
# tools/docs.sh: the manual, in build/docs; a warning or a dangling reference is an error.
. "$(dirname "$0")/common.sh"
runner=$(env_python "$(default_python)" docs)
"$runner" -m sphinx -W -n --keep-going -q -b html "$ROOT/docs" "$ROOT/build/docs"
say "manual: build/docs/index.html"
