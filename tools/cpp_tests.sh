#!/usr/bin/env bash
# tools/cpp_tests.sh [debug|asan|tsan]: builds and runs the C++ unit tests of base/ and uv/.
#
# They need no interpreter: doctest, libuv and a compiler are all. The sanitized variants end the
# process at the first finding, so that one cannot pass unseen.
. "$(dirname "$0")/common.sh"
variant=${1:-debug}
case $variant in
    debug) sanitize="" ;;
    asan) sanitize=address,undefined ;;
    tsan) sanitize=thread ;;
    *) die "usage: tools/cpp_tests.sh [debug|asan|tsan]" ;;
esac
need_apt g++ cmake ninja-build pkg-config libuv1-dev doctest-dev
options=()
! command -v ccache >/dev/null || options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
build=$ROOT/build/cpp-$variant
mkdir -p "$ROOT/build"
/usr/bin/cmake -S "$ROOT/tests/cpp" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_CXX_FLAGS_DEBUG="-O1 -g" -DBUCLE_SANITIZE="$sanitize" "${options[@]}" \
    >"$build.log" 2>&1 || {
    cat "$build.log" >&2
    die "configuring failed"
}
/usr/bin/cmake --build "$build" --target cpp_tests
say "C++ unit tests ($variant)"
timeout 300 "$build/cpp_tests"
