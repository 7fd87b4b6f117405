"""Routes: what belongs to which path of a request, and the arguments in the path.

In goes a mapping of paths to anything; out comes, for a path, what belongs to it, and
the arguments. A path is a whole path; or a rule of Werkzeug's with ``<...>`` in it, as
Flask has them, where Werkzeug is installed; or a compiled regular expression, which
matches the path as a whole and whose named groups are the arguments (all of its groups,
by position, if none has a name). A path that is equal comes first, then the rules, in
Werkzeug's order, and then the regular expressions in theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

__all__ = ['Arguments', 'Path', 'Routes']

T = TypeVar('T')

Path = str | re.Pattern[str]
#: The positional arguments, and those by name.
Arguments = tuple[tuple[Any, ...], Mapping[str, Any]]
_Match = Callable[[str], tuple[Any, Mapping[str, Any]] | None]

_NONE: Arguments = ((), {})


class Routes(Generic[T]):
    """A table of routes. Raises TypeError or ValueError for a path that cannot be."""

    def __init__(self, routes: Mapping[Path, T]) -> None:
        self._paths: dict[str, T] = {}
        self._patterns: list[tuple[re.Pattern[str], T]] = []
        rules: dict[str, T] = {}
        for path, value in routes.items():
            if isinstance(path, re.Pattern):
                self._patterns.append((_check_pattern(path), value))
            elif '<' in _check_path(path):
                rules[path] = value
            else:
                # PEP 3333 passes the bytes of a URL as characters.
                self._paths[path.encode().decode('latin-1')] = value
        self._match_rule: _Match | None = _make_match(rules) if rules else None

    def find(self, path_info: str) -> tuple[T, Arguments] | None:
        """Return what belongs to a request's PATH_INFO, with the arguments, or None."""
        value = self._paths.get(path_info)
        if value is not None:
            return value, _NONE
        if self._match_rule is None and not self._patterns:
            return None
        path = path_info.encode('latin-1').decode(errors='replace')
        return self._find_rule(path) or self._find_pattern(path)

    def _find_rule(self, path: str) -> tuple[T, Arguments] | None:
        found = self._match_rule(path) if self._match_rule is not None else None
        return None if found is None else (found[0], ((), found[1]))

    def _find_pattern(self, path: str) -> tuple[T, Arguments] | None:
        for pattern, value in self._patterns:
            match = pattern.fullmatch(path)
            if match is not None:
                named = match.groupdict()
                return value, (() if named else match.groups(), named)
        return None


def _check_path(path: Any) -> str:
    if not isinstance(path, str):
        raise TypeError(f'handlers: expected a str as a path, got {path!r}')
    if not path.startswith('/'):
        raise ValueError(f'handlers: the path {path!r} does not begin with a slash')
    return path


def _check_pattern(pattern: re.Pattern[Any]) -> re.Pattern[str]:
    if not isinstance(pattern.pattern, str):
        raise TypeError(f'handlers: expected a pattern of str, got {pattern!r}')
    return pattern


def _make_match(rules: Mapping[str, Any]) -> _Match:
    """Return a function that matches a path with all of these rules of Werkzeug's."""
    try:
        from werkzeug.exceptions import HTTPException
        from werkzeug.routing import Map, Rule
    except ImportError:
        raise ValueError(
            f'handlers: {next(iter(rules))!r} is a rule of Werkzeug, which is not '
            'installed: pip install werkzeug, or give a path as re.compile(...)'
        ) from None
    values = list(rules.values())
    url_map = Map(
        [Rule(rule, endpoint=str(index), websocket=True) for index, rule in enumerate(rules)],
        redirect_defaults=False,
        merge_slashes=False,
    )
    adapter = url_map.bind('localhost', url_scheme='ws')

    def match(path: str) -> tuple[Any, Mapping[str, Any]] | None:
        try:
            index, arguments = adapter.match(path, websocket=True)
        except HTTPException:
            return None
        return values[int(index)], arguments

    return match
