"""Calls that cost less in the compiled form, or that it has to count.

``call`` calls a function of the application, which may call its caller again. The
interpreter counts the depth of calls of Python functions, and raises RecursionError
before the stack is full. Calls of a compiled function are not counted, so that
``_calls.pxd`` counts them.
"""

from __future__ import annotations

import operator
from typing import Any

__all__ = ['begins_with', 'call', 'set_attribute']

# Python 3.10 lacks operator.call. In later versions it adds no line to tracebacks.
call: Any = getattr(operator, 'call', None) or (lambda function, argument: function(argument))
# In a compiled module ``super().__setattr__`` and ``name.startswith`` would take 3800
# instructions for each attribute of a socket that is set.
begins_with: Any = str.startswith
set_attribute: Any = object.__setattr__
