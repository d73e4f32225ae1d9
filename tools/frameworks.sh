#!/usr/bin/env bash
# tools/frameworks.sh [PYTHON...]: real software on the loop, tests/frameworks with all libraries.
#
# The libraries live in a virtual environment of their own, so that the ordinary one stays small;
# PostgreSQL and Redis come from Debian, and the tests start private servers of both. PRESET
# chooses the build, PYTEST_ADDOPTS what else pytest shall do. Without arguments: the machine's own
# interpreter; 3.14 comes from the sid folder where the machine has none.
. "$(dirname "$0")/common.sh"
preset=${PRESET:-release}
status=0
read -ra wanted <<<"${*:-}"
[ ${#wanted[@]} -gt 0 ] || wanted=("$(default_python)")

# one PYTHON: its caller looks at the status, which turns `set -e` off in it
one() {
    local python=$1 tag runner
    tag=$(tag_of "$python") || return
    "$ROOT/tools/build_inplace" "$python" "$preset" || return
    need_apt postgresql redis-server || return
    runner=$(env_python "$python" test frameworks) || return
    mkdir -p "$ROOT/build/reports"
    say "real software on Python $tag"
    cd "$ROOT" || return
    # the plugins are for the programs: this run itself has no coroutine for a test
    "$runner" -m pytest -n "${JOBS:-$(nproc)}" --dist loadgroup -p no:asyncio -p no:anyio \
        --junit-xml="build/reports/frameworks-$tag.xml" tests/frameworks
}

for name in "${wanted[@]}"; do
    python=$(find_python "$name") || { say "no Python $name on this machine"; status=1; continue; }
    case $python in
        sid\ *)
            "$ROOT/tools/sid.sh" run env PRESET="$preset" JOBS="${JOBS:-}" \
                PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-}" \
                "$ROOT/tools/frameworks.sh" "${python#sid }" || status=$?
            ;;
        *) (one "$python") || status=$? ;;
    esac
done
exit "$status"
