"""The facts known about an interpreter, and the behaviour on an unknown one."""

from __future__ import annotations

import contextvars
import re
import sys
import weakref
from configparser import ConfigParser

import pytest
from greenlet import greenlet

from faye_websocket.io import interpreter
from tests.support.processes import ROOT

IS_CPYTHON = sys.implementation.name == 'cpython'


class TestNewest:
    """The newest tested version of Python, which is written in three places."""

    def test_is_at_least_the_one_that_runs(self) -> None:
        assert sys.version_info[:2] <= interpreter.NEWEST, (
            'run the tests of tests/unit/io/test_reactor.py here, then raise NEWEST in io/interpreter.py')

    def test_is_the_one_of_the_compiled_form(self) -> None:
        major, minor = interpreter.NEWEST
        for name in ('io/_interpreter.pxd', '_calls.pxd'):
            text = (ROOT / 'faye_websocket' / name).read_text()
            assert f'PY_VERSION_HEX < 0x{major:02x}{minor + 1:02x}0000' in text, name

    def test_is_the_newest_that_the_package_claims(self) -> None:
        setup = ConfigParser()
        setup.read(ROOT / 'setup.cfg')
        claimed = re.findall(r'Python :: (3)\.(\d+)', setup['metadata']['classifiers'])
        assert max((int(major), int(minor)) for major, minor in claimed) == interpreter.NEWEST


class Thing:
    """An object with references."""


@pytest.mark.skipif(not interpreter.COUNTS_REFERENCES, reason='this interpreter counts none')
class TestReferences:
    def test_are_counted_one_by_one(self) -> None:
        thing = Thing()
        before = interpreter.count_references(thing)
        assert interpreter.count_references(thing) == before
        kept = [thing, thing]
        assert interpreter.count_references(thing) == before + 2
        kept.pop()
        assert interpreter.count_references(thing) == before + 1

    def test_that_are_weak_are_seen(self) -> None:
        thing = Thing()
        assert not interpreter.has_weak_references(thing)
        reference = weakref.ref(thing)
        assert interpreter.has_weak_references(thing)
        del reference
        assert not interpreter.has_weak_references(thing)

    def test_a_greenlet_has_a_context_once_it_is_given_one(self) -> None:
        def look() -> list[bool]:
            current = greenlet.getcurrent()
            before = interpreter.has_context(current)
            current.gr_context = contextvars.Context()
            return [before, interpreter.has_context(current)]

        assert greenlet(look).switch() == [False, True]


class TestUnknown:
    """An interpreter that is untested, or that has no reference counts."""

    def test_treats_every_object_as_used(self) -> None:
        thing = Thing()
        assert len({interpreter.never_twice(thing) for _ in range(100)}) == 100

    def test_estimates_approximate_sizes(self) -> None:
        for data in ('', 'a' * 1000, b'', b'a' * 1000, '\N{SNOWMAN}' * 1000):
            assert interpreter.estimate_size(data) >= len(data if isinstance(data, bytes) else data.encode())
            if IS_CPYTHON:
                assert interpreter.estimate_size(data) < 100 + 2 * sys.getsizeof(data)
