#!/usr/bin/env bash
# tools/clean.sh: removes all that the other scripts made inside the checkout.
. "$(dirname "$0")/common.sh"
cd "$ROOT"
rm -rf build dist .venv compile_commands.json .mypy_cache .ruff_cache .pytest_cache .hypothesis
rm -f python/bucle/*.so
find . -name __pycache__ -prune -not -path './.git/*' -exec rm -rf {} +
