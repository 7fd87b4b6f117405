#!/usr/bin/env bash
# The unit tests under Pythons that only Debian's sid has, compiled and pure, as root:
#
#   tools/new_pythons.sh [DIRECTORY [TESTS...]]
#
# TESTS are paths; tests/unit by default.
# Ends with status 75 where such a machine cannot be had, and with pytest's where a test fails.
set -euo pipefail
cd "$(dirname "$0")/.."

directory=${1:-$(mktemp -d)}
mkdir -p "$directory"
root=$directory/sid
paths=("${@:2}")
[ "${#paths[@]}" -gt 0 ] || paths=(tests/unit)
new=(3.14 3.15)
packages=(gcc libc6-dev openssl procps redis-server zlib1g-dev)
for version in "${new[@]}"; do packages+=("python$version-dev" "python$version-venv"); done

tools/debian.sh make sid "$root" "${packages[@]}" || exit 75
! command -v uv >/dev/null || cp "$(readlink -f "$(command -v uv)")" "$root/usr/local/bin/"
mkdir "$root/source"
git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$root/source"

install() {
    # Which is done in a third of the time when nothing is optimized.
    export CFLAGS='-O0 -g0' FAYE_WEBSOCKET_BUILD=require UV_SYSTEM_CERTS=1
    tools/debian.sh run "$root" bash -euc '
        cp -r source "source$1"
        cd "source$1"
        "python$1" -m venv .venv
        if command -v uv >/dev/null; then
            uv pip install -q --python .venv/bin/python -e ".[test]"
        else
            .venv/bin/pip install -q -e ".[test]"
        fi' - "$1"
}

tests() {
    echo "Python $1, FAYE_WEBSOCKET_PURE=$2"
    FAYE_WEBSOCKET_PURE=$2 FAYE_WEBSOCKET_REQUIRE_ALL='' tools/debian.sh run "$root" bash -euc '
        cd "source$1"
        shift
        .venv/bin/python -m pytest -q -n 2 --dist loadfile --max-worker-restart 0 -m "not compliance and not packaging and not again" "$@"
    ' - "$1" "${@:3}"
}

for version in "${new[@]}"; do install "$version"; done
tests 3.14 0 "${paths[@]}"
tests 3.15 0 "${paths[@]}"
# The pure form is one text for all: what asks the interpreter about itself.
tests 3.15 1 tests/unit/io/test_reactor.py tests/unit/io/test_interpreter.py tests/unit/driver/test_hybi.py tests/unit/test_calls.py
