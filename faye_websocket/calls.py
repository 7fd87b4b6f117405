"""Functions of the application, and calls that cost less in the compiled form.

``call`` calls a function of the application, which may call its caller again. The
interpreter counts the depth of calls of Python functions, and raises RecursionError
before the stack is full. Calls of a compiled function are not counted, so that
``_calls.pxd`` counts them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from inspect import CO_COROUTINE
from typing import Any

__all__ = ['begins_with', 'call', 'check_is_not_async', 'set_attribute']

# Python 3.10 lacks operator.call. In later versions it adds no line to tracebacks.
call: Any = getattr(operator, 'call', None) or (lambda function, argument: function(argument))
# In a compiled module ``super().__setattr__`` and ``name.startswith`` would take 3800
# instructions for each attribute of a socket that is set.
begins_with: Any = str.startswith
set_attribute: Any = object.__setattr__


def check_is_not_async(name: str, function: Callable[..., object]) -> None:
    """Raise TypeError for an ``async def`` function: nobody would run its coroutine."""
    code = getattr(function, '__code__', None)
    if code is not None and code.co_flags & CO_COROUTINE:
        raise TypeError(
            f'{name}: expected a function that is not async, got {function!r}: '
            'write "def" instead of "async def"'
        )
