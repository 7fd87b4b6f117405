"""The check that an argument is the ``environ`` of a WSGI request."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ['check_environ']


def check_environ(environ: object) -> None:
    """Raise TypeError for what is not an environ, naming the attribute that is one."""
    if isinstance(environ, Mapping):
        return
    problem = f'environ: expected the environ of a WSGI request, got {environ!r:.80}'
    # A request of Django's has both, and only META is documented.
    for attribute in ('META', 'environ'):
        if isinstance(getattr(environ, attribute, None), Mapping):
            raise TypeError(f'{problem}: pass its attribute {attribute}, as in request.{attribute}')
    raise TypeError(problem)
