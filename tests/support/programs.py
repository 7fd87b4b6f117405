"""Programs of the system that some tests need: a missing one skips the test, or fails it where all are required."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

#: Set to 1 (as CI does), a missing program is a failure and not a skip.
REQUIRE_ALL = 'FAYE_WEBSOCKET_REQUIRE_ALL'

#: Where things that take long to make are kept between runs.
CACHE = 'FAYE_WEBSOCKET_CACHE'

#: Where Debian keeps daemons; not on every user's PATH.
SYSTEM_PATHS = ('/usr/local/sbin', '/usr/sbin', '/sbin')


def find_program(*names: str) -> str | None:
    """The path of the first of these programs that is installed."""
    path = os.pathsep.join([os.environ.get('PATH', os.defpath), *SYSTEM_PATHS])
    return next(filter(None, (shutil.which(name, path=path) for name in names)), None)


def require_program(name: str, install: str, *others: str) -> str:
    """The path of a program; without it, this test is skipped or fails, with the command that installs it."""
    path = find_program(name, *others)
    return path if path is not None else give_up(f'{name} is missing: {install}')


def require_module(name: str, install: str) -> None:
    """As `require_program`, for a Python module."""
    try:
        __import__(name)
    except ImportError:
        give_up(f'the Python module {name} is missing: {install}')


def give_up(reason: str) -> NoReturn:
    """Skip this test; fail it where everything is required."""
    if os.environ.get(REQUIRE_ALL) == '1':
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def cache_directory(name: str) -> Path:
    """A directory that outlives this run, outside the project."""
    root = os.environ.get(CACHE) or Path.home() / '.cache' / 'faye_websocket'
    directory = Path(root, name)
    directory.mkdir(parents=True, exist_ok=True)
    return directory
