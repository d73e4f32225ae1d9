#!/usr/bin/env bash
# [PYTHON=3.13] tools/sanitize.sh asan|tsan [--cpp-only | PYTEST ARGUMENT...]: the C++ unit tests,
# then the Python ones, on a build whose memory errors (asan, with undefined behaviour) or data
# races (tsan) end the process.
#
# The sanitized extension lives apart from the ordinary one, and the run proves that it is the one
# imported. An interpreter that is not sanitized itself needs the runtime preloaded; its own
# allocator would hide errors, hence PYTHONMALLOC=malloc; what it leaks at exit is not ours.
. "$(dirname "$0")/common.sh"
[ $# -ge 1 ] || die "usage: tools/sanitize.sh asan|tsan [PYTEST ARGUMENT...]"
variant=$1
[ "${2:-}" = --cpp-only ] || pick_python "$@"
shift
"$ROOT/tools/cpp_tests.sh" "$variant"
[ "${1:-}" != --cpp-only ] || exit 0

tag=$(tag_of "$python")
stage=$ROOT/build/stage-$variant-$tag
BUCLE_INTO=$stage "$ROOT/tools/build_inplace" "$python" "$variant"
runner=$(env_python "$python" test)
export PYTHONPATH=$stage PYTHONMALLOC=malloc
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:handle_segv=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:report_signal_unsafe=0:suppressions=$ROOT/tools/tsan.supp
case $variant in asan) library=libasan.so ;; tsan) library=libtsan.so ;; esac
preload=$(g++ -print-file-name="$library"):$(g++ -print-file-name=libstdc++.so)

cd "$ROOT"
LD_PRELOAD=$preload "$runner" - "$stage" <<'EOF'
import sys
import bucle._core
assert bucle._core.__file__.startswith(sys.argv[1]), bucle._core.__file__
EOF
[ $# -gt 0 ] || set -- tests/unit tests/conformance -m "not slow and not stress"
mkdir -p build/reports
say "tests on Python $tag ($variant)"
LD_PRELOAD=$preload "$runner" -m pytest -n "${JOBS:-$(nproc)}" -p no:randomly \
    -o timeout=600 -o faulthandler_timeout=500 --junit-xml="build/reports/$variant.xml" "$@"
