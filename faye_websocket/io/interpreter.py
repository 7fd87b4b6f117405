"""interpreter: facts that the interpreter knows of threads and objects.

Compiled modules use ``_interpreter.pxd``, which is ten times as quick. Thread numbers
are those of OS threads; those of gevent's patched ``threading`` are numbers of
greenlets.
"""

from __future__ import annotations

import itertools
import sys
import sysconfig
import weakref

from gevent.monkey import get_original
from greenlet import greenlet

__all__ = [
    'COUNTS_REFERENCES',
    'NEWEST',
    'count_references',
    'get_ident',
    'get_size',
    'has_context',
    'has_weak_references',
]

#: The newest CPython that was tested, which ``_interpreter.pxd`` names, too. A newer one may
#: count otherwise, as others without a global lock do; PyPy counts nothing.
NEWEST = (3, 15)
IS_CPYTHON = sys.implementation.name == 'cpython'
#: Without it no greenlet is used again for another connection, which costs speed only.
COUNTS_REFERENCES = (
    IS_CPYTHON
    and sys.version_info[:2] <= NEWEST
    and not sysconfig.get_config_var('Py_GIL_DISABLED')
)

_numbers = itertools.count()


def never_twice(thing: object) -> int:
    """Return another number each time, as if ``thing`` were always in use."""
    return next(_numbers)


def estimate_size(data: str | bytes) -> int:
    """Return about how many bytes of memory ``data`` takes."""
    return 48 + len(data) * (1 if isinstance(data, bytes) or data.isascii() else 4)


get_ident = get_original('_thread', 'get_ident')
count_references = sys.getrefcount if COUNTS_REFERENCES else never_twice
has_weak_references = weakref.getweakrefcount
# Of a str or bytes; the compiled form knows nothing else.
get_size = sys.getsizeof if IS_CPYTHON else estimate_size


def has_context(current: greenlet) -> bool:
    """Return whether the ``current`` greenlet has context variables."""
    return current.gr_context is not None
