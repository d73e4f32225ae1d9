#!/usr/bin/env bash
# [PYTHON=3.13] tools/coverage.sh [PYTEST ARGUMENT...]: which lines of C++ and Python the unit tests
# reach. The report of the C++ goes to build/coverage/index.html; both are summed up at the end.
. "$(dirname "$0")/common.sh"
pick_python "$@"
tag=$(tag_of "$python")
stage=$ROOT/build/stage-coverage-$tag
build=$ROOT/build/coverage-$tag
venv=$ROOT/build/venvs/coverage-$tag
[ $# -gt 0 ] || set -- tests/unit -m "not slow"
BUCLE_INTO=$stage "$ROOT/tools/build_inplace" "$python" coverage -DBUCLE_TESTS=OFF
mapfile -t lines < <("$python" "$ROOT/tools/requirements.py" test)
need_venv "$venv" "$python" "${lines[@]}" 'coverage==7.*' 'gcovr==8.*'

cd "$ROOT"
find "$build" -name '*.gcda' -delete
status=0
PYTHONPATH=$stage COVERAGE_FILE=$build/.coverage "$venv/bin/python" -m coverage run \
    -m pytest -p no:randomly "$@" || status=$?
mkdir -p build/coverage
"$venv/bin/python" -m gcovr --root . --filter src/ --gcov-ignore-parse-errors=all \
    --html-details build/coverage/index.html --print-summary "$build" | tail -4
COVERAGE_FILE=$build/.coverage "$venv/bin/python" -m coverage report
exit "$status"
