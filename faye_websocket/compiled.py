"""The switch between the compiled and the pure form of the package.

It is made once, before any module is imported that has both forms. A compiled module
lies beside its source, and Python prefers it. With the environment variable
FAYE_WEBSOCKET_PURE set to anything but ``0``, Python looks only for sources in the
folders of this package.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path

__all__ = ['IS_COMPILED']

_SLOW = (
    'faye_websocket runs in pure Python, several times slower than when it is compiled: there was no '
    "C compiler, or no header of Python's, when it was installed. Install them (Debian and Ubuntu: "
    'apt-get install gcc python3-dev), then: pip install --force-reinstall --no-deps --no-cache-dir '
    'faye-websocket. FAYE_WEBSOCKET_PURE=1 says that pure Python is meant.'
)


def _look_for_sources_only() -> None:
    """Replace Python's finders for this package by some that find sources only."""
    package = Path(__file__).parent
    for folder in (package, *filter(Path.is_dir, package.rglob('*'))):
        sys.path_importer_cache[str(folder)] = FileFinder(
            str(folder), (SourceFileLoader, SOURCE_SUFFIXES)
        )


_is_pure_wanted = os.environ.get('FAYE_WEBSOCKET_PURE', '') not in ('', '0')
if _is_pure_wanted:
    _look_for_sources_only()


def warn_if_slow(is_compiled: bool, is_pure_wanted: bool, implementation: str) -> None:
    """Log a warning where pure Python runs unasked, and C could."""
    if not is_compiled and not is_pure_wanted and implementation == 'cpython':
        logging.getLogger('faye_websocket').warning(_SLOW)


_events = find_spec(f'{__package__}.events')
IS_COMPILED = _events is not None and isinstance(_events.loader, ExtensionFileLoader)
warn_if_slow(IS_COMPILED, _is_pure_wanted, sys.implementation.name)
