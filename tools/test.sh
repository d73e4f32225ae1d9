#!/usr/bin/env bash
# tools/test.sh [--no-cpp] [PYTHON...]: does all set-up, then the whole test suite on each Python.
#
# A PYTHON is a path or a version (3.13); 3.14 and 3.15 come from the sid folder where the machine
# has none. Without arguments: $PYTHONS, else the machine's own interpreter. The C++ unit tests run
# once, before (--no-cpp: not). PRESET chooses the build, PYTEST_ADDOPTS what else pytest shall do.
# Every interpreter has its turn; the exit status is that of the last failure.
. "$(dirname "$0")/common.sh"
preset=${PRESET:-release}
status=0
# CPython's tests look services up by name; the house rules are about what git knows
need_apt git netbase
if [ "${1:-}" = --no-cpp ]; then shift; else "$ROOT/tools/cpp_tests.sh" || status=$?; fi
read -ra wanted <<<"${*:-${PYTHONS:-}}"
[ ${#wanted[@]} -gt 0 ] || wanted=("$(default_python)")

# one PYTHON: build and test here. Its caller looks at the status, which turns `set -e` off in it.
one() {
    local python=$1 tag runner
    tag=$(tag_of "$python") || return
    "$ROOT/tools/build_inplace" "$python" "$preset" || return
    # Debian keeps CPython's own tests in a package of their own
    if [[ $python == /usr/bin/* ]] && ! "$python" -c 'import test.test_asyncio' 2>/dev/null; then
        need_apt "lib$("$python" -c 'import sys
print("python%d.%d" % sys.version_info[:2])')-testsuite" || return
    fi
    runner=$(env_python "$python" test) || return
    mkdir -p "$ROOT/build/reports"
    say "tests on Python $tag"
    cd "$ROOT" || return
    "$runner" -m pytest -n "${JOBS:-$(nproc)}" --junit-xml="build/reports/$tag.xml"
}

for name in "${wanted[@]}"; do
    python=$(find_python "$name") || { say "no Python $name on this machine"; status=1; continue; }
    case $python in
        sid\ *)
            # named one by one: sudo would drop them
            "$ROOT/tools/sid.sh" run env PRESET="$preset" JOBS="${JOBS:-}" \
                PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-}" BUCLE_EXAMPLES="${BUCLE_EXAMPLES:-}" \
                BUCLE_MODULES="${BUCLE_MODULES:-}" \
                "$ROOT/tools/test.sh" --no-cpp "${python#sid }" || status=$?
            ;;
        *) (one "$python") || status=$? ;;
    esac
done
exit "$status"
