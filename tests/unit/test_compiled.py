"""The warning where pure Python runs and nobody has asked for it."""

from __future__ import annotations

import pytest

from faye_websocket.compiled import warn_if_slow


def test_says_what_to_install_where_c_could_run(caplog: pytest.LogCaptureFixture) -> None:
    warn_if_slow(False, False, 'cpython')
    [record] = caplog.records
    assert (record.name, record.levelname) == ('faye_websocket', 'WARNING')
    text = record.getMessage()
    assert text.startswith('faye_websocket runs in pure Python, several times slower than when it is compiled: ')
    assert 'apt-get install gcc python3-dev' in text
    assert 'pip install --force-reinstall --no-deps --no-cache-dir faye-websocket' in text


@pytest.mark.parametrize(('is_compiled', 'is_pure_wanted', 'implementation'), [
    (True, False, 'cpython'), (True, True, 'cpython'), (False, True, 'cpython'), (False, False, 'pypy')])
def test_says_nothing_otherwise(
        is_compiled: bool, is_pure_wanted: bool, implementation: str, caplog: pytest.LogCaptureFixture) -> None:
    warn_if_slow(is_compiled, is_pure_wanted, implementation)
    assert not caplog.records
