"""Calls of functions that others have given, which may come back to their caller.

The interpreter counts how deep the calls of its own functions go, and raises RecursionError before
the stack is full. A compiled function that calls another one has to be counted by hand, which
``_calls.pxd`` does.
"""

from __future__ import annotations

import operator
from typing import Any

__all__ = ['call']

# Python 3.10 has none; in others it leaves no trace in a traceback.
call: Any = getattr(operator, 'call', None) or (lambda function, argument: function(argument))
