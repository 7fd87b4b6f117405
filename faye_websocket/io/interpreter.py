"""What the interpreter knows of threads and objects; compiled modules ask by way of ``_interpreter.pxd``, ten times as quickly.

Thread numbers are the real ones, which gevent's patched ``threading`` would not tell: it would tell greenlets apart.
"""

from __future__ import annotations

import sys
import weakref

from gevent.monkey import get_original
from greenlet import greenlet

__all__ = ['count_references', 'get_ident', 'get_size', 'has_context', 'has_weak_references']

get_ident = get_original('_thread', 'get_ident')
count_references = sys.getrefcount
has_weak_references = weakref.getweakrefcount
# Of a str or bytes; the compiled form knows nothing else.
get_size = sys.getsizeof


def has_context(current: greenlet) -> bool:
    """Whether the ``current`` greenlet has context variables."""
    return current.gr_context is not None
