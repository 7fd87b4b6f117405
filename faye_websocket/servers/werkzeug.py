"""Werkzeug's development server (``flask run``), which does not run on gevent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .adapter import SUPPORTED, Adapter

__all__ = ['WERKZEUG']


def _explain(environ: Mapping[str, Any]) -> str | None:
    if 'werkzeug.socket' not in environ:
        return None
    return f"Werkzeug's development server does not run on gevent. {SUPPORTED}"


WERKZEUG = Adapter(
    find_socket=lambda environ: None,
    explain=_explain,
    request_keys=frozenset({'werkzeug.request', 'werkzeug.socket'}),
)
