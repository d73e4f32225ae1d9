#!/usr/bin/env bash
# tools/test_all.sh: the whole proof, more than an hour: full lint, the suite on five interpreters
# and the machine's own with all modules of CPython's own tests, plain and installed, the large
# example counts on the fastest of the interpreters, real software on the two main ones, both
# sanitizers, a wheel.
#
# Every step has its turn even if one before it failed; the closing lines say which did, and add
# up what ran.
. "$(dirname "$0")/common.sh"
cd "$ROOT"
export BUCLE_MODULES=all
rm -rf build/reports
failed=()
step() { # NAME COMMAND...
    local name=$1
    shift
    "$@" || failed+=("$name")
}

main=$(find_python 3.13) || main=$(default_python)
step lint env PYTHON="$main" tools/lint.sh --all
for version in /usr/bin/python3 3.11 3.12 3.13 3.14 3.15; do
    step "tests $version" env BUCLE_EXAMPLES="$([ $version = 3.14 ] && echo large)" \
        tools/test.sh --no-cpp "$version"
done
step frameworks tools/frameworks.sh 3.13 3.14
step asan env PYTHON="$main" tools/sanitize.sh asan
step tsan tools/sanitize.sh tsan --cpp-only
step wheel tools/wheel.sh
[ ${#failed[@]} -eq 0 ] || say "failed: ${failed[*]}"
"$(default_python)" tools/tally.py
[ ${#failed[@]} -eq 0 ]
