#!/usr/bin/env bash
# tools/bench.sh [SUBJECT OPTION...]: measures this checkout beside asyncio and the other loops.
#
# PYTHON=3.14 (or a path) chooses the interpreter; one that only the sid folder has is used there. A
# release build of the extension goes to build/bench-VERSION, apart from the one in python/bucle, so
# that nobody's rebuild is measured by accident; the peers go into a virtual environment, each
# where it has a wheel for this machine. Without arguments the subject is core.
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

BUCLE_INTO=$into "$ROOT/tools/build_inplace" "$python" release >&2

need_venv "$venv" "$python" pip
if [ "$(cat "$venv/peers.txt" 2>/dev/null)" != "${peers[*]}" ]; then
    for peer in "${peers[@]}"; do
        "$venv/bin/python" -m pip install -q --no-input --disable-pip-version-check \
            --only-binary :all: "$peer" >/dev/null 2>&1 || say "no wheel here: $peer"
    done
    printf '%s\n' "${peers[*]}" >"$venv/peers.txt"
fi

cd "$ROOT"
PYTHONPATH=$into exec "$venv/bin/python" -m benchmarks "$@"
