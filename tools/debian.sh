#!/usr/bin/env bash
# A Debian of any release in a directory, as root, by debootstrap:
#
#   tools/debian.sh make sid ROOT [PACKAGE...]    makes it, with these packages
#   tools/debian.sh run ROOT COMMAND...           runs a command in it, with this machine's network
#
# What it downloads stays in ~/.cache/faye-websocket. A suite that Debian has released no update of for
# weeks is taken, too: debootstrap checks signatures, and not whether they are old.
set -euo pipefail

make() {
    local suite=$1 root=$2 cache="${XDG_CACHE_HOME:-$HOME/.cache}/faye-websocket/$1"
    shift 2
    command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
    mkdir -p "$cache"
    local packages=ca-certificates package
    for package in "$@"; do packages+=,$package; done
    debootstrap --variant=minbase --cache-dir="$cache" --include="$packages" \
        "$suite" "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" > "$root.log" 2>&1 || {
        tail -3 "$root.log"
        return 1
    }
    cp /etc/resolv.conf "$root/etc/"
    # Authorities that only this machine knows are known there, too.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
}

run() {
    local root=$1
    shift
    # The mounts are gone with the command.
    exec unshare --mount bash -euc '
        root=$1
        shift
        mount --rbind /proc "$root/proc"
        mount --rbind /dev "$root/dev"
        exec chroot "$root" "$@"' - "$root" "$@"
}

"$@"
