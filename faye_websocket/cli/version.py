"""``faye-websocket --version``: what a report of a fault should say."""

from __future__ import annotations

import platform

import gevent

from ..compiled import IS_COMPILED
from ..version import __version__

__all__ = ['describe_versions']


def describe_versions() -> str:
    """Return the versions of the library, Python and gevent, and the library's form."""
    form = 'compiled' if IS_COMPILED else 'pure Python'
    return (
        f'faye_websocket {__version__} ({form}), '
        f'{platform.python_implementation()} {platform.python_version()}, gevent {gevent.__version__}'
    )
