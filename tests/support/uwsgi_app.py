"""The control application, with a cookie on every response."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.support.apps import control


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Serve a request, and set a cookie."""
    def with_cookie(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        return start_response(status, [*headers, ('Set-Cookie', 'a=1')], exc_info)

    return control(environ, with_cookie)
