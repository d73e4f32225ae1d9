# Shared by the scripts of tools/: sourced, never run. Sets ROOT and offers the few functions that
# every verb needs: saying what goes on, installing Debian packages once, finding interpreters,
# making a virtual environment that is remade only when what it should hold has changed.
# shellcheck shell=bash
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export ROOT

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# run as root: directly, or through sudo where there is one
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "this needs root (or sudo): $*"; fi
}

# need_apt PACKAGE...: installs what dpkg does not know as installed; silent when nothing is missing
need_apt() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "please install: ${missing[*]}"
    say "apt install ${missing[*]}"
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends)
    as_root "${install[@]}" "${missing[@]}" >/dev/null 2>&1 || {
        as_root apt-get update -q >/dev/null
        as_root "${install[@]}" "${missing[@]}" >/dev/null
    }
}

# full version of an interpreter, such as 3.13.0: names its virtual environments and build folders
tag_of() { "$1" -c 'import platform; print(platform.python_version())'; }

# need_venv DIR PYTHON REQUIREMENT...: the requirements are written into the venv, so that the next
# call with the same ones costs a file comparison
need_venv() {
    local dir=$1 python=$2 wanted
    shift 2
    wanted=$(printf '%s\n' "$python" "$@")
    if [ -x "$dir/bin/python" ] && [ "$(cat "$dir/wanted.txt" 2>/dev/null)" = "$wanted" ]; then
        return 0
    fi
    say "virtual environment ${dir#"$ROOT"/}"
    mkdir -p "$(dirname "$dir")"
    # two scripts may want the same environment at once: the second waits and finds it made
    exec 9>"$dir.lock"
    flock 9
    if [ "$(cat "$dir/wanted.txt" 2>/dev/null)" != "$wanted" ]; then
        if ! "$python" -m venv --clear "$dir"; then
            need_apt "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
            "$python" -m venv --clear "$dir"
        fi
        "$dir/bin/python" -m pip install -q --no-input --disable-pip-version-check "$@"
        printf '%s\n' "$wanted" >"$dir/wanted.txt"
    fi
    exec 9>&-
}
