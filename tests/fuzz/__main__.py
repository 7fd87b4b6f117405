"""The command that fuzzes; see the package."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.fuzz import CORPUS

#: By target: the inputs found by searches, which reached new code or broke a rule.
FOUND = Path('.fuzz')

#: The limits of one input. Exceeding them breaks a rule, since everything must be
#: linear and limited.
LIMITS = ('-timeout=10', '-rss_limit_mb=1024', '-max_len=8192')


def main() -> int:
    """Fuzz one target in this process, or all of them in turn, each in its own process.
    """
    names = sorted(folder.name for folder in CORPUS.iterdir())
    parser = argparse.ArgumentParser(
        prog='python -m tests.fuzz', description="Fuzz everything that parses a peer's bytes.",
        epilog='Further arguments are passed to libFuzzer: options, or files of inputs to run.')
    parser.add_argument('target', nargs='?', choices=names, help='the target; default: all of them in turn')
    length = parser.add_mutually_exclusive_group()
    length.add_argument('--seconds', type=int, default=60, help='the time for each target; default 60')
    length.add_argument('--hours', type=float, help='the time for each target')
    options, rest = parser.parse_known_args()
    seconds = options.seconds if options.hours is None else round(options.hours * 3600)
    if options.target is None:
        commands = [[sys.executable, '-m', 'tests.fuzz', name, f'--seconds={seconds}', *rest] for name in names]
        return max(subprocess.run(command, check=False).returncode for command in commands)
    return fuzz(options.target, seconds, rest)


def fuzz(name: str, seconds: int, rest: list[str]) -> int:
    """Search until the time is over or a rule is broken. libFuzzer then ends the
    process.
    """
    try:
        import atheris
    except ImportError:
        print('fuzzing needs atheris: pip install atheris', file=sys.stderr)
        return 2
    # A search cannot see into the compiled codec. The target "frames" compares it with
    # the pure one.
    os.environ['FAYE_WEBSOCKET_PURE'] = '1'
    with atheris.instrument_imports(include=['faye_websocket']):
        from tests.fuzz.targets import TARGETS
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    flags = [argument for argument in rest if argument.startswith('-')]
    inputs = [argument for argument in rest if argument not in flags]
    places = inputs or [f'-max_total_time={seconds}', str(found), str(CORPUS / name)]
    atheris.Setup([sys.argv[0], *LIMITS, f'-artifact_prefix={found}/', *flags, *places], TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == '__main__':
    sys.exit(main())
