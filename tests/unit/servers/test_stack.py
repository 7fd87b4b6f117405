"""The stack of the calling greenlet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from faye_websocket.servers.stack import find_variables, is_in_coroutine


def calling(function: Callable[[], Any], found: str = 'this one') -> Any:
    """Return the result of a function that is called from here."""
    return function()


class TestVariables:
    """``find_variables``."""

    def find(self) -> Any:
        """Return the variables that are found in ``calling``."""
        return find_variables(__name__, 'calling').get('found')

    def test_are_those_of_the_innermost_call(self) -> None:
        assert calling(self.find) == 'this one'
        assert calling(lambda: calling(self.find, 'inner'), 'outer') == 'inner'

    def test_are_none_without_a_call(self) -> None:
        assert self.find() is None
        assert calling(lambda: find_variables('another', 'calling')) == {}

    def test_are_none_of_another_greenlet(self) -> None:
        assert calling(lambda: gevent.spawn(self.find).get()) is None


async def coroutine(function: Callable[[], Any]) -> Any:
    """Call a function."""
    return function()


def generator(function: Callable[[], Any]) -> Iterator[Any]:
    """Call a function."""
    yield function()


class TestCoroutine:
    """``is_in_coroutine``."""

    def test_is_seen_through_functions(self) -> None:
        assert asyncio.run(coroutine(is_in_coroutine)) is True
        assert asyncio.run(coroutine(lambda: calling(is_in_coroutine))) is True

    @pytest.mark.parametrize(
        'function', [is_in_coroutine, lambda: next(generator(is_in_coroutine))]
    )
    def test_is_no_other_function(self, function: Callable[[], bool]) -> None:
        assert function() is False

    def test_is_not_one_of_another_greenlet_of_its_thread(
        self,
    ) -> None:
        def look() -> tuple[bool, bool]:
            return asyncio.current_task() is not None, is_in_coroutine()

        assert asyncio.run(coroutine(lambda: gevent.spawn(look).get())) == (True, False)
