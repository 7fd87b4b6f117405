"""The names of ``geventwebsocket._compat`` that its examples import."""

from __future__ import annotations

__all__ = ['PY2', 'PY3', 'iteritems', 'range_type', 'string_types', 'text_type']

PY2, PY3 = False, True

range_type = range
string_types = (str,)
text_type = str
iteritems = lambda mapping: iter(mapping.items())
