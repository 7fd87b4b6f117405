"""Calls of the application's functions, which may call their caller again.

The interpreter counts the depth of calls of Python functions, and raises RecursionError
before the stack is full. Calls of a compiled function are not counted, so that
``_calls.pxd`` counts them.
"""

from __future__ import annotations

import operator
from typing import Any

__all__ = ['call']

# Python 3.10 lacks operator.call. In later versions it adds no line to tracebacks.
call: Any = getattr(operator, 'call', None) or (lambda function, argument: function(argument))
