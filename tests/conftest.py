"""Deadlines, and what takes long; for tests of the protocol codecs, cuts and cost."""

from __future__ import annotations

import faulthandler
import gc
import os
import random
from collections.abc import Callable
from time import process_time
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

from tests.support.forms import FORMS, find_codec
from tests.support.programs import is_all_required
from tests.support.skips import summarize

settings.register_profile('here', deadline=None)
settings.register_profile('ci', deadline=None, derandomize=True, print_blob=True)
settings.load_profile('ci' if os.environ.get('CI') else 'here')

#: Seconds for a test of what takes long: the Autobahn test suite, which is one test,
#: the compiler, tests that run others, and the soak. The others have ``timeout`` in
#: setup.cfg.
DEADLINES = {'compliance': 1800, 'packaging': 900, 'again': 900, 'soak': 300}
#: Markers of tests that a run of everything leaves out, so that it takes a few minutes.
LONG = {'slow', *DEADLINES}
#: The reason with which it does.
TAKES_LONG = 'takes long: python -m pytest --all'

Cut = Callable[[bytes], list[bytes]]
Cost = Callable[[Callable[[], object]], float]
AssertLinear = Callable[[Callable[[int], object], int], None]

_stderr = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that runs everything."""
    parser.addoption(
        '--all', action='store_true',
        help='run what takes long, too; so does a path, -m, -k and FAYE_WEBSOCKET_REQUIRE_ALL=1')


def pytest_configure(config: pytest.Config) -> None:
    """Keep the real stderr: what is captured is lost when a deadline ends pytest."""
    with config.pluginmanager.getplugin('capturemanager').global_and_fixture_disabled():
        config.stash[_stderr] = os.dup(2)
    config.add_cleanup(lambda: os.close(config.stash[_stderr]))
    if hasattr(config, 'workerinput'):
        config.option.all = config.workerinput['all']
    elif _names_tests(config):
        config.option.all = True


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the option to a worker of xdist, which sees neither paths nor options."""
    node.workerinput['all'] = node.config.option.all


def _names_tests(config: pytest.Config) -> bool:
    is_named = config.args_source is pytest.Config.ArgsSource.ARGS
    return is_named or bool(config.option.markexpr or config.option.keyword) or is_all_required()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what takes long, unless it is asked for, and set its deadline."""
    for item in items:
        for name in LONG.intersection(mark.name for mark in item.iter_markers()):
            if name in DEADLINES:
                item.add_marker(pytest.mark.timeout(DEADLINES[name]))
            if not config.option.all:
                item.add_marker(pytest.mark.skip(reason=TAKES_LONG))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say in one line what was skipped, and how to have it."""
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get('skipped', ())
               if isinstance(report.longrepr, (tuple, list))]
    if reasons:
        terminalreporter.write_line(summarize(reasons))


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool:
    """Let faulthandler hold the deadline of pytest-timeout.

    A signal's exception would be raised in gevent's hub, which goes on. A thread would
    make forks warn, would wait for the GIL, and under xdist its tracebacks be lost.
    """
    faulthandler.dump_traceback_later(settings.timeout, exit=True, file=item.config.stash[_stderr])
    return True


def pytest_timeout_cancel_timer(item: pytest.Item) -> bool:
    """Cancel what `pytest_timeout_set_timer` began."""
    faulthandler.cancel_dump_traceback_later()
    return True


@pytest.fixture(scope='session', params=[form for form in FORMS if find_codec(form)])
def codec(request: pytest.FixtureRequest) -> ModuleType:
    """The codec's module, in each form that is installed; test_forms.py sees to it that both are."""
    return find_codec(request.param)


def halves(data: bytes) -> list[bytes]:
    """Cut in the middle."""
    return [data[:len(data) // 2], data[len(data) // 2:]]


def byte_by_byte(data: bytes) -> list[bytes]:
    """As a slow network might."""
    return [data[index:index + 1] for index in range(len(data))]


def at_random(data: bytes) -> list[bytes]:
    """Cut in up to a dozen places, empty parts among them, the same in every run."""
    places = sorted(random.Random(len(data)).choices(range(len(data) + 1), k=12))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@pytest.fixture(scope='session', params=[lambda data: [data], halves, byte_by_byte, at_random],
                ids=['whole', 'halves', 'bytes', 'random'])
def chunks(request: pytest.FixtureRequest) -> Cut:
    """Cuts the wire, as a network does: ``chunks(data)``."""
    return request.param


@pytest.fixture(scope='session')
def cost() -> Cost:
    """``cost(run)``: the processor's seconds for ``run()``, the best of three."""

    def measure(run: Callable[[], object]) -> float:
        costs = []
        # Garbage collection looks at all that the tests before have left, at times of its own.
        gc.disable()
        try:
            for _ in range(3):
                start = process_time()
                run()
                costs.append(process_time() - start)
        finally:
            gc.enable()
        return min(costs)

    return measure


@pytest.fixture(scope='session')
def assert_linear(cost: Cost) -> AssertLinear:
    """``assert_linear(run, size)``: ``run`` on eight times the size costs about eight times as much, far from 64 times."""

    def check(run: Callable[[int], object], size: int) -> None:
        small, large = cost(lambda: run(size)), cost(lambda: run(8 * size))
        assert large < 40 * max(small, 0.0002), f'{size} cost {small:.6f} s, {8 * size} cost {large:.6f} s'

    return check
