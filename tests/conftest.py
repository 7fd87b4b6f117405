"""Deadlines, the selection of slow tests, and fixtures for the protocol codecs."""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import signal
from collections.abc import Callable
from time import process_time
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

from faye_websocket.compiled import IS_COMPILED
from tests.support.forms import FORMS, find_codec
from tests.support.programs import is_all_required
from tests.support.skips import summarize

settings.register_profile('here', deadline=None)
settings.register_profile('ci', deadline=None, derandomize=True, print_blob=True)
settings.load_profile('ci' if os.environ.get('CI') else 'here')

#: Seconds for slow tests: the Autobahn test suite, which is one test, the compiler,
#: tests that run others, and the soak. The deadline of other tests is ``timeout`` in
#: setup.cfg.
DEADLINES = {'compliance': 1800, 'packaging': 900, 'again': 900, 'soak': 300}
#: Markers of tests that a default run skips, so that it takes a few minutes.
LONG = {'slow', *DEADLINES}
#: The reason that is given for a skipped test.
TAKES_LONG = 'takes long: python -m pytest --all'

Cut = Callable[[bytes], list[bytes]]
Cost = Callable[[Callable[[], object]], float]
AssertLinear = Callable[[Callable[[int], object], int], None]

_stderr = pytest.StashKey[int]()


# A shell starts what runs in its background with this signal ignored, and so would be
# the servers of the tests, which end at it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Where nothing could be compiled, the package warns at its import. The processes that
# the tests start say by this that pure Python is meant, and their output is the same.
if not IS_COMPILED:
    os.environ['FAYE_WEBSOCKET_PURE'] = '1'


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that runs all tests."""
    parser.addoption(
        '--all', action='store_true',
        help='run what takes long, too; so does a path, -m, -k and FAYE_WEBSOCKET_REQUIRE_ALL=1')


def pytest_configure(config: pytest.Config) -> None:
    """Keep the real stderr: captured output is lost if a deadline ends pytest."""
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
    """Skip slow tests, unless they are selected, and set their deadlines."""
    for item in items:
        for name in LONG.intersection(mark.name for mark in item.iter_markers()):
            if name in DEADLINES:
                item.add_marker(pytest.mark.timeout(DEADLINES[name]))
            if not config.option.all:
                item.add_marker(pytest.mark.skip(reason=TAKES_LONG))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print one line about the skipped tests, and the way to run them."""
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get('skipped', ())
               if isinstance(report.longrepr, (tuple, list))]
    if reasons:
        terminalreporter.write_line(summarize(reasons))


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool:
    """Let faulthandler keep the deadline of pytest-timeout.

    The exception of a signal would be raised in gevent's hub, which ignores it. A
    thread would cause warnings at forks and wait for the GIL, and xdist would lose its
    tracebacks.
    """
    faulthandler.dump_traceback_later(settings.timeout, exit=True, file=item.config.stash[_stderr])
    return True


def pytest_timeout_cancel_timer(item: pytest.Item) -> bool:
    """Cancel the deadline that `pytest_timeout_set_timer` has set."""
    faulthandler.cancel_dump_traceback_later()
    return True


@pytest.fixture(scope='session', params=[form for form in FORMS if find_codec(form)])
def codec(request: pytest.FixtureRequest) -> ModuleType:
    """The codec's module in each installed form; test_forms.py checks that both are."""
    return find_codec(request.param)


def halves(data: bytes) -> list[bytes]:
    """Cut the data in the middle."""
    return [data[:len(data) // 2], data[len(data) // 2:]]


def byte_by_byte(data: bytes) -> list[bytes]:
    """Cut the data into single bytes."""
    return [data[index:index + 1] for index in range(len(data))]


def at_random(data: bytes) -> list[bytes]:
    """Cut the data in a dozen places, which are equal in every run.

    Some of the parts may be empty.
    """
    places = sorted(random.Random(len(data)).choices(range(len(data) + 1), k=12))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@pytest.fixture(scope='session', params=[lambda data: [data], halves, byte_by_byte, at_random],
                ids=['whole', 'halves', 'bytes', 'random'])
def chunks(request: pytest.FixtureRequest) -> Cut:
    """A function that cuts data as a network does: ``chunks(data)``."""
    return request.param


@pytest.fixture(scope='session')
def cost() -> Cost:
    """The CPU seconds of a call, the best of three: ``cost(run)``."""

    def measure(run: Callable[[], object]) -> float:
        costs = []
        # Without this, garbage of earlier tests would be collected at random times.
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
    """A check that cost is linear: ``assert_linear(run, size)``.

    A call of ``run`` with eight times the size should cost about eight times as much,
    and far less than 64 times.
    """

    def check(run: Callable[[int], object], size: int) -> None:
        small, large = cost(lambda: run(size)), cost(lambda: run(8 * size))
        assert large < 40 * max(small, 0.0002), f'{size} cost {small:.6f} s, {8 * size} cost {large:.6f} s'

    return check
