#!/usr/bin/env bash
# The README's two commands, word for word, on a machine that has nothing but Debian, as root:
#
#   tools/fresh_machine.sh bookworm|trixie|sid [root|user] [PACKAGE...]
#
# The packages are those that somebody has installed before: gcc and python3-dev for the compiled form,
# nothing for the pure one. PYTEST_ADDOPTS chooses among the tests, all of which take a quarter of an hour.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=$1 who=${2:-root}
shift "$(($# < 2 ? $# : 2))"
directory=$(mktemp -d)
root=$directory/$suite
trap 'rm -rf "$directory"' EXIT

# The README says of the first.
tools/debian.sh make "$suite" "$root" python3-venv "$@"
[ "$who" = root ] || chroot "$root" useradd --create-home "$who"
home=$root/root
[ "$who" = root ] || home=$root/home/$who
mkdir "$home/checkout"
git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$home/checkout"
[ "$who" = root ] || chroot "$root" chown -R "$who:" "${home#"$root"}"

mapfile -t commands < <(grep -E '^    python3 -m venv \.venv ' README.rst | sed 's/^ *//' | head -2)

path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

inside() {
    tools/debian.sh run "$root" runuser -u "$who" -- env HOME="${home#"$root"}" PATH="$path" bash -euc "cd; cd checkout; $1"
}

printf '\n$ %s\n' "${commands[0]}"
# It serves until somebody ends it.
inside "(${commands[0]}) > served.log 2>&1 & server=\$!
    for _ in \$(seq 300); do
        grep -q '^Listening on' served.log && break
        kill -0 \$server || break
        sleep 1
    done
    .venv/bin/python -c '
import urllib.request
page = urllib.request.urlopen(\"http://127.0.0.1:9292/\").read()
assert b\"WebSocket\" in page, page' || { cat served.log; exit 1; }
    # It is a child of that shell, unless the shell has become it.
    kill -INT \$(cat /proc/\$server/task/\$server/children | grep . || echo \$server)
    wait \$server
    cat served.log
    .venv/bin/faye-websocket --version"

printf '\n$ %s\n' "${commands[1]}"
inside "${commands[1]}"
