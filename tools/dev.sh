#!/usr/bin/env bash
# [PYTHON=3.13] tools/dev.sh: the environment to work in, .venv with every tool, a debug build.
. "$(dirname "$0")/common.sh"
pick_python
"$ROOT/tools/build_inplace" "$python" debug
runner=$(env_python "$python" dev)
ln -sfn "$(dirname "$(dirname "$runner")")" "$ROOT/.venv"
ln -sfn "build/debug-$(tag_of "$python")/compile_commands.json" "$ROOT/compile_commands.json"
say "ready: . .venv/bin/activate && pytest tests/unit"
