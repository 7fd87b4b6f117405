"""``faye-websocket --version``."""

from __future__ import annotations

import sys

import gevent
import pytest

from faye_websocket import __version__, compiled
from faye_websocket.__main__ import main


def test_has_the_versions_and_the_form(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(['--version'])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    form = 'compiled' if compiled.IS_COMPILED else 'pure Python'
    python = '.'.join(map(str, sys.version_info[:3]))
    assert text.startswith(f'faye_websocket {__version__} ({form}), ')
    assert f' {python}' in text
    assert text.endswith(f', gevent {gevent.__version__}\n')
