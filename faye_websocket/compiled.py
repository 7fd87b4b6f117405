"""The one switch between the package's pure and its compiled form, made once, before any module that has both is imported.

A compiled module lies beside its source, and Python prefers it. With the environment variable FAYE_WEBSOCKET_PURE set to
anything but ``0``, Python looks for sources only in the folders of this package.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path

__all__ = ['IS_COMPILED']


def _look_for_sources_only() -> None:
    """Puts finders that know no compiled module in the place of those that Python would make."""
    package = Path(__file__).parent
    for folder in (package, *filter(Path.is_dir, package.iterdir())):
        sys.path_importer_cache[str(folder)] = FileFinder(str(folder), (SourceFileLoader, SOURCE_SUFFIXES))


if os.environ.get('FAYE_WEBSOCKET_PURE', '') not in ('', '0'):
    _look_for_sources_only()

_events = find_spec(f'{__package__}.events')
IS_COMPILED = _events is not None and isinstance(_events.loader, ExtensionFileLoader)
