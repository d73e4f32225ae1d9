#!/usr/bin/env bash
# tools/bench.sh [SUBJECT OPTION...]: measures this checkout beside asyncio and the other loops.
#
# PYTHON=3.14 (or a path) chooses the interpreter; one that only the sid folder has is used there.
# The extension is compiled by a profile, as a wheel's is, or with BUCLE_GUIDED=0 without one, as by
# pip from the sources. It goes to build/bench-VERSION, apart from the one in python/bucle, so that
# nobody's rebuild is measured by accident; the peers go into a virtual environment, each where it
# has a wheel for this machine. Without arguments the subject is core. The subject net needs more:
# the compiled load generator, wrk, and the HTTP servers that have a wheel.
. "$(dirname "$0")/common.sh"
wanted=${PYTHON:-$(default_python)}
python=$(find_python "$wanted") || die "no interpreter $wanted"
[ $# -gt 0 ] || set -- core
case $python in
    "sid "*)
        exec "$ROOT/tools/sid.sh" run env PYTHON="${python#sid }" "$ROOT/tools/bench.sh" "$@"
        ;;
esac
tag=$(tag_of "$python")
venv=$ROOT/build/venvs/bench-$tag
into=$ROOT/build/bench-$tag
peers=(uvloop==0.23.0 zuvloop==0.0.17 rsloop==0.1.66 rloop==0.5.0 aiofastnet==1.2.0)
servers=(uvicorn==0.54.0 httptools==0.9.0 aiohttp==3.14.5)

if [ "${BUCLE_GUIDED:-1}" = 1 ]; then
    "$python" "$ROOT/tools/pgo.py" "$python" "$into" >&2
else
    BUCLE_INTO=$into "$ROOT/tools/build_inplace" "$python" release >&2
fi

# install_where_there LIST PACKAGE...: into the environment, each that has a wheel
install_where_there() {
    local package list=$venv/$1.txt
    shift
    [ "$(cat "$list" 2>/dev/null)" != "$*" ] || return 0
    for package in "$@"; do
        "$venv/bin/python" -m pip install -q --no-input --disable-pip-version-check \
            --only-binary :all: "$package" >/dev/null 2>&1 || say "no wheel here: $package"
    done
    printf '%s\n' "$*" >"$list"
}

need_venv "$venv" "$python" pip
install_where_there peers "${peers[@]}"
if [ "$1" = net ]; then
    install_where_there servers "${servers[@]}"
    # what is missing is said by the report
    command -v wrk >/dev/null || (need_apt wrk) || say "no wrk here"
    export BUCLE_LOAD=$ROOT/build/load-$tag
    "$ROOT/tools/build_load" "$BUCLE_LOAD"
fi

cd "$ROOT"
PYTHONPATH=$into exec "$venv/bin/python" -m benchmarks "$@"
