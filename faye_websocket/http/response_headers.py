"""The headers of a response, as a mapping with names in any case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .head import HeaderList

__all__ = ['ResponseHeaders']


class ResponseHeaders(Mapping[str, str]):
    """The headers of a response, as an immutable mapping.

    Names are looked up in any case. For a repeated name the value is the first one;
    ``pairs`` returns all of them in their order.
    """

    __slots__ = ('_pairs',)

    def __init__(self, pairs: HeaderList) -> None:
        self._pairs = tuple(pairs)

    def pairs(self) -> HeaderList:
        """Return all names and values in their order."""
        return list(self._pairs)

    def __getitem__(self, name: str) -> str:
        wanted = str(name).lower()
        for key, value in self._pairs:
            if key.lower() == wanted:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names.

        Each is given once, in the case of its first occurrence.
        """
        names: dict[str, str] = {}
        for name, _ in self._pairs:
            names.setdefault(name.lower(), name)
        return iter(names.values())

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._pairs})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return _with_small_names(self) == _with_small_names(other)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.pairs()!r})'


def _with_small_names(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with their names in lower case."""
    return {name.lower(): value for name, value in headers.items()}
