#!/usr/bin/env bash
# tools/sid.sh [make|run COMMAND...|dir|remove]: Debian sid in a folder, for new interpreters.
#
# Debian's stable release has no CPython 3.14 or 3.15; sid has both, optimised, with their test
# suites. `make` (the default) builds the folder once, in about two minutes; `run` executes a
# command inside it, with the checkout at the path that it has outside. The mounts live in a mount
# namespace of that one command: nothing stays mounted, and removing the folder can never reach
# the checkout.
# Needs root or sudo. The folder is ${BUCLE_SID:-~/.cache/bucle/sid}.
. "$(dirname "$0")/common.sh"
dir=${BUCLE_SID:-$HOME/.cache/bucle/sid}
packages=(
    python3.14 python3.14-dev python3.14-venv libpython3.14-testsuite
    python3.15 python3.15-dev python3.15-venv libpython3.15-testsuite
    g++ libuv1-dev doctest-dev pkg-config ccache git make ca-certificates procps
)
ready=$dir/var/lib/bucle-packages

# the mirror that this machine's own apt uses: the one that is known to be reachable from here
mirror() {
    local uri
    uri=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null |
        grep -E '/debian/?$' | grep -v security | head -n 1)
    [ -n "$uri" ] || uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
        grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1)
    [ -n "$uri" ] || die "no Debian mirror among this machine's apt sources"
    echo "${uri% }"
}

# enter COMMAND...: inside the folder, as root, in the directory where the caller is
enter() {
    local cache=${CCACHE_DIR:-$HOME/.cache/ccache}
    mkdir -p "$cache"
    # shellcheck disable=SC2016  # expanded by the inner shell
    as_root env SID="$dir" CHECKOUT="$ROOT" CACHE="$cache" WHERE="$PWD" \
        unshare --mount --propagation private sh -euc '
            mount --rbind /proc "$SID/proc"
            mount --rbind /dev "$SID/dev"
            mount --rbind /sys "$SID/sys"
            for shared in "$CHECKOUT" "$CACHE"; do
                mkdir -p "$SID$shared"
                mount --bind "$shared" "$SID$shared"
            done
            unset PIP_FIND_LINKS VIRTUAL_ENV PYTHONHOME
            exec chroot "$SID" env HOME=/root CCACHE_DIR="$CACHE" LANG=C.UTF-8 SHELL=/bin/bash \
                PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
                sh -c "cd \"\$1\" 2>/dev/null || cd /; shift; exec \"\$@\"" sh "$WHERE" "$@"
        ' sh "$@"
}

# the machine's own way to its package indexes: name service, certificates, pip's settings
copy_settings() {
    as_root mkdir -p "$dir/etc/ssl/certs"
    as_root cp -L /etc/resolv.conf "$dir/etc/resolv.conf"
    [ ! -f /etc/ssl/certs/ca-certificates.crt ] ||
        as_root cp -L --remove-destination /etc/ssl/certs/ca-certificates.crt "$dir/etc/ssl/certs/"
    local conf
    for conf in /etc/pip.conf "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"; do
        [ ! -f "$conf" ] || as_root cp -L "$conf" "$dir/etc/pip.conf"
    done
}

make_folder() {
    [ "$(cat "$ready" 2>/dev/null)" != "${packages[*]}" ] || return 0
    local log=$dir.log
    if [ ! -x "$dir/usr/bin/apt-get" ]; then
        need_apt debootstrap
        say "Debian sid in $dir"
        mkdir -p "$(dirname "$dir")"
        local uri
        uri=$(mirror)
        # a keyring older than the archive cannot check it; apt's transport is the same either way
        as_root debootstrap --variant=minbase sid "$dir" "$uri" >"$log" 2>&1 || {
            as_root rm -rf --one-file-system "$dir"
            as_root debootstrap --variant=minbase --no-check-gpg sid "$dir" "$uri" >"$log" 2>&1
        } || { tail -n 5 "$log" >&2; die "debootstrap failed, see $log"; }
        # a mirror that is a snapshot carries a Release file past its date
        printf '%s;\n' 'Acquire::Check-Valid-Until "false"' \
            'Acquire::AllowInsecureRepositories "true"' \
            'APT::Get::AllowUnauthenticated "true"' 'APT::Install-Recommends "false"' |
            as_root tee "$dir/etc/apt/apt.conf.d/99bucle" >/dev/null
    fi
    copy_settings
    say "interpreters 3.14 and 3.15 in $dir"
    enter env DEBIAN_FRONTEND=noninteractive \
        sh -c 'apt-get update -q && apt-get install -y -q "$@"' sh "${packages[@]}" >"$log" 2>&1 ||
        { tail -n 5 "$log" >&2; die "apt failed, see $log"; }
    copy_settings # ca-certificates has just written its own
    printf '%s' "${packages[*]}" | as_root tee "$ready" >/dev/null
}

case ${1:-make} in
    make) make_folder && say "sid is ready: tools/sid.sh run python3.14 ..." ;;
    run) shift && make_folder && enter "$@" ;;
    dir) echo "$dir" ;;
    remove) as_root rm -rf --one-file-system "$dir" ;;
    *) die "usage: tools/sid.sh [make|run COMMAND...|dir|remove]" ;;
esac
