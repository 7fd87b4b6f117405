"""Run the tests of the compiled modules under gcc's sanitizers.

    python tools/sanitize.py [PYTEST ARGUMENT ...]

It compiles a copy of the checkout with AddressSanitizer and UndefinedBehaviorSanitizer,
twice, and runs the tests with it. The tests of the protocol run with checks of the
stack, too. Greenlets move their stacks, so that all other tests run without these. Any
report ends the run and fails it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SANITIZERS = '-fsanitize=address,undefined -fno-omit-frame-pointer -g -O1'

# What is compiled, and how, for which tests.
PROTOCOL = ('tests/unit/driver', 'tests/unit/extensions')
REST = tuple(
    f'tests/{name}.py'
    for name in (
        'unit/test_api',
        'unit/test_broadcast',
        'unit/test_calls',
        'unit/test_events',
        'unit/test_greenlet_style',
        'unit/test_metrics',
        'unit/io/test_connection',
        'unit/io/test_dispatch',
        'unit/io/test_keepalive',
        'unit/io/test_overflow',
        'unit/io/test_owner',
        'unit/io/test_queue',
        'unit/io/test_reactor',
        'unit/io/test_stream',
        'unit/servers/test_packed_environ',
        'properties/test_fuzz',
        'properties/test_stateful',
    )
)
ROUNDS = ((SANITIZERS, PROTOCOL), (f'{SANITIZERS} --param=asan-stack=0', REST))


def find_library(name: str) -> str:
    """Return the path of one of gcc's libraries, to be loaded before Python's."""
    path = subprocess.run(
        ['gcc', f'-print-file-name={name}'], check=True, capture_output=True, text=True
    ).stdout.strip()
    if not os.path.isabs(path):
        raise SystemExit(f'{name} is missing: apt-get install gcc')
    return os.path.realpath(path)


def copy_checkout(target: Path) -> None:
    """Copy what the tests need, but for what was compiled."""
    ignored = shutil.ignore_patterns(
        '.*', '*.so', 'build', '__pycache__', 'dist', '*.egg-info', 'node_modules'
    )
    shutil.copytree(ROOT, target, ignore=ignored, dirs_exist_ok=True)


def compile_modules(directory: Path, flags: str) -> None:
    """Compile the modules beside their sources."""
    environment = {**os.environ, 'CFLAGS': flags, 'FAYE_WEBSOCKET_BUILD': 'require'}
    shutil.rmtree(directory / 'build', ignore_errors=True)
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'build_ext', '--inplace'],
        cwd=directory,
        env=environment,
        check=True,
    )


def run_tests(directory: Path, tests: tuple[str, ...], arguments: list[str]) -> int:
    """Run tests in the copy, and return pytest's exit status."""
    environment = {
        **os.environ,
        'LD_PRELOAD': ' '.join(map(find_library, ('libasan.so', 'libubsan.so'))),
        # CPython itself does not free all of its memory, and its own allocator would
        # hide faults of ours.
        'ASAN_OPTIONS': 'detect_leaks=0',
        'PYTHONMALLOC': 'malloc',
        'UBSAN_OPTIONS': 'print_stacktrace=1:halt_on_error=1',
        'PYTHONPATH': str(directory),
        'FAYE_WEBSOCKET_PURE': '0',
    }
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *tests, *arguments]
    return subprocess.run(command, cwd=directory, env=environment, check=False).returncode


def main(arguments: list[str]) -> int:
    """Run both rounds, and return the exit status."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        copy_checkout(directory)
        for flags, tests in ROUNDS:
            compile_modules(directory, flags)
            status = run_tests(directory, tests, arguments)
            if status:
                return status
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
