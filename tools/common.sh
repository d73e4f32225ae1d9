# Shared by the scripts of tools/: sourced, never run. Sets ROOT and offers the few functions that
# every verb needs: saying what goes on, installing Debian packages once, finding interpreters,
# making a virtual environment that is remade only when what it should hold has changed.
# shellcheck shell=bash
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export ROOT

say() {
    if [ -t 2 ]; then printf '\033[1m==> %s\033[0m\n' "$*" >&2
    else printf '==> %s\n' "$*" >&2; fi
}
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

# need_venv DIR PYTHON REQUIREMENT...: the requirements are written into the venv, so that the
# next call with the same ones costs a file comparison
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
            need_apt "$("$python" -c 'import sys
print("python%d.%d-venv" % sys.version_info[:2])')"
            "$python" -m venv --clear "$dir"
        fi
        "$dir/bin/python" -m pip install -q --no-input --disable-pip-version-check "$@"
        printf '%s\n' "$wanted" >"$dir/wanted.txt"
    fi
    exec 9>&-
}

# newest interpreter with a GIL that this machine's PATH offers, 3.11 or newer; Debian's otherwise
default_python() {
    local name found
    for name in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        found=$("$name" -c 'import sys
print(sys.executable if sys.version_info >= (3, 11) else "")' 2>/dev/null) || continue
        [ -z "$found" ] || { echo "$found"; return 0; }
    done
    need_apt python3 python3-venv python3-dev
    /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "no Python 3.11 or newer here"
    echo /usr/bin/python3
}

# find_python VERSION|PATH: its path; "sid python3.14" where only the sid folder has it. A pyenv
# interpreter comes before the sid folder, a shim that leads nowhere is passed over.
find_python() {
    local wanted=$1 candidate
    for candidate in "$wanted" "python$wanted" \
        "${PYENV_ROOT:-$HOME/.pyenv}/versions/$wanted"{,.*}/bin/python; do
        if [[ $candidate == */* ]] || [[ $candidate == python* ]]; then
            "$candidate" -c 'import sys; print(sys.executable)' 2>/dev/null && return 0
        fi
    done
    case $wanted in
        3.14 | 3.15) echo "sid python$wanted" ;;
        *) return 1 ;;
    esac
}

# pick_python ARGUMENT...: sets `python` to $PYTHON, or to the machine's own where that is not set.
# Where only the sid folder has it, this very script runs there instead, with the same arguments.
pick_python() {
    python=$(find_python "${PYTHON:-$(default_python)}") || die "no interpreter ${PYTHON:-}"
    case $python in
        sid\ *)
            exec "$ROOT/tools/sid.sh" run env PYTHON="${python#sid }" \
                "$ROOT/tools/$(basename "$0")" "$@"
            ;;
    esac
}

# env_python PYTHON GROUP...: the interpreter of a virtual environment that holds the dependency
# groups of pyproject.toml and has the checkout's python/ on its path, made where it is missing
env_python() {
    local python=$1 venv lines
    shift
    venv=$ROOT/build/venvs/$(IFS=-; echo "$*")-$(tag_of "$python")
    mapfile -t lines < <("$python" "$ROOT/tools/requirements.py" "$@")
    need_venv "$venv" "$python" "${lines[@]}"
    local path
    path=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo "$ROOT/python" >"$path/bucle-checkout.pth"
    echo "$venv/bin/python"
}
