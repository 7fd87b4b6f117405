"""wsgiref's server, and Django's ``runserver``, which is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .adapter import Adapter

__all__ = ['WSGIREF']


def _is_wsgiref(environ: Mapping[str, Any]) -> bool:
    # From Python 3.15 on there is no version behind the name.
    return str(environ.get('SERVER_SOFTWARE', '')).startswith('WSGIServer')


# PEP 3333 forbids "hop-by-hop" headers, and wsgiref asserts it; it closes each
# connection all the same.
WSGIREF = Adapter(find_socket=lambda environ: None, owns_connection_header=_is_wsgiref)
