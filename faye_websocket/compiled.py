"""The switch between the compiled and the pure form of the package.

It is made once, before any module is imported that has both forms. A compiled module
lies beside its source, and Python prefers it. With the environment variable
FAYE_WEBSOCKET_PURE set to anything but ``0``, Python looks only for sources in the
folders of this package.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path

__all__ = ['IS_COMPILED']


def _look_for_sources_only() -> None:
    """Replace Python's finders for this package by some that find no compiled modules.
    """
    package = Path(__file__).parent
    for folder in (package, *filter(Path.is_dir, package.rglob('*'))):
        sys.path_importer_cache[str(folder)] = FileFinder(str(folder), (SourceFileLoader, SOURCE_SUFFIXES))


if os.environ.get('FAYE_WEBSOCKET_PURE', '') not in ('', '0'):
    _look_for_sources_only()

_events = find_spec(f'{__package__}.events')
IS_COMPILED = _events is not None and isinstance(_events.loader, ExtensionFileLoader)
