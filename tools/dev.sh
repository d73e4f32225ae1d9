#!/usr/bin/env bash
# tools/dev.sh [PYTHON]: the environment to work in: .venv with every tool, a debug build in place.
. "$(dirname "$0")/common.sh"
python=$(find_python "${1:-$(default_python)}") || die "no interpreter $1"
"$ROOT/tools/build_inplace" "$python" debug
runner=$(env_python "$python" dev)
ln -sfn "$(dirname "$(dirname "$runner")")" "$ROOT/.venv"
ln -sfn "build/debug-$(tag_of "$python")/compile_commands.json" "$ROOT/compile_commands.json"
say "ready: . .venv/bin/activate && pytest tests/unit"
