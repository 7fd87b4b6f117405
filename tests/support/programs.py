"""Programs of the system that some tests need.

A test is skipped if its program is missing, or fails if all programs are required.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

#: If this is 1, as in CI, a missing program makes a test fail.
REQUIRE_ALL = 'FAYE_WEBSOCKET_REQUIRE_ALL'

#: The directory for files that take long to make, kept between runs.
CACHE = 'FAYE_WEBSOCKET_CACHE'

#: The directories of Debian's daemons, which are not in every PATH.
SYSTEM_PATHS = ('/usr/local/sbin', '/usr/sbin', '/sbin')


def find_program(*names: str) -> str | None:
    """Return the path of the first of these programs that is installed."""
    path = os.pathsep.join([os.environ.get('PATH', os.defpath), *SYSTEM_PATHS])
    return next(filter(None, (shutil.which(name, path=path) for name in names)), None)


def require_program(name: str, install: str, *others: str) -> str:
    """Return the path of a program. If it is missing, skip the test, or let it fail.

    The reason has the command that installs it.
    """
    path = find_program(name, *others)
    return path if path is not None else give_up(f'{name} is missing: {install}')


def require_module(name: str, install: str) -> None:
    """Import a Python module. If it is missing, skip the test, or let it fail."""
    try:
        __import__(name)
    except ImportError:
        give_up(f'the Python module {name} is missing: {install}')


def is_all_required() -> bool:
    """Return whether every test must run, as in CI."""
    return os.environ.get(REQUIRE_ALL) == '1'


def give_up(reason: str) -> NoReturn:
    """Skip this test; let it fail if all programs are required."""
    if is_all_required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def cache_directory(name: str) -> Path:
    """Return a directory that outlives this run, outside the project."""
    root = os.environ.get(CACHE) or Path.home() / '.cache' / 'faye_websocket'
    directory = Path(root, name)
    directory.mkdir(parents=True, exist_ok=True)
    return directory
