#!/usr/bin/env bash
# [PYTHON=3.13] tools/lint.sh [--all]: every check that does not run the package, then the verdict.
#
# The house's own rules, shellcheck, clang-format, ruff, mypy --strict, mypy.stubtest against the
# built extension, and clang-tidy on the files that changed since it last found nothing in them
# (--all: on every file).
. "$(dirname "$0")/common.sh"
cd "$ROOT"
pick_python "$@"
need_apt shellcheck
runner=$(env_python "$python" lint)
bin=$(dirname "$runner")
failed=()

check() { # NAME COMMAND...
    local name=$1
    shift
    say "$name"
    "$@" || failed+=("$name")
}

mapfile -t cpp < <(git ls-files -co --exclude-standard 'src/*.[ch]pp' 'tests/cpp/*.[ch]pp' \
    'benchmarks/load/*.[ch]pp')
mapfile -t shell < <(git ls-files -co --exclude-standard 'tools/*' .ci/run |
    xargs grep -lE '^#!.*bash|shellcheck shell')

check "house rules" "$runner" tools/check_house.py
check shellcheck shellcheck -e SC1091,SC2016,SC2154,SC2164 "${shell[@]}"
check clang-format "$bin/clang-format" --dry-run -Werror "${cpp[@]}"
check "ruff" "$bin/ruff" check -q
check "ruff format" "$bin/ruff" format --check -q
check "mypy" "$runner" -m mypy
# beside the ordinary build, which somebody may be measuring
stage=$ROOT/build/stage-lint-$(tag_of "$python")
check "build" env BUCLE_INTO="$stage" tools/build_inplace "$python" quick
check "stubtest" env PYTHONPATH="$stage" "$runner" -m mypy.stubtest bucle \
    --mypy-config-file pyproject.toml \
    --allowlist tools/stubtest_allowlist.txt --ignore-unused-allowlist
check "clang-tidy" "$runner" tools/tidy.py "$python" "$@"

[ ${#failed[@]} -eq 0 ] || die "lint: ${failed[*]}"
say "lint: all clean"
