"""Which OS thread runs, which gevent's patched ``threading`` would not tell. Compiled modules have it from ``_threads.pxd``."""

from __future__ import annotations

from gevent.monkey import get_original

__all__ = ['get_ident']

# The patched one would tell greenlets apart.
get_ident = get_original('_thread', 'get_ident')
