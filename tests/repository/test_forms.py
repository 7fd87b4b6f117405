"""The two forms of the package, pure and compiled: the choice, and their equality."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

import pytest

import faye_websocket
from faye_websocket import compiled
from tests.support.forms import find_codec
from tests.support.processes import ROOT
from tests.support.programs import give_up

PACKAGE = Path(faye_websocket.__file__).parent
#: The modules that have both forms.
NAMES = ('driver.hybi', 'events', 'extensions.inflater', 'io.connection', 'io.stream', 'servers.packed_environ')
#: The tests that are run in the other form as well: all of the protocol, and those of
#: the hot path.
AGAIN = ('unit/driver', 'unit/extensions', 'unit/io/test_connection.py', 'unit/io/test_dispatch.py',
         'unit/io/test_reactor.py', 'unit/io/test_stream.py', 'unit/test_api.py', 'unit/test_events.py',
         'unit/test_metrics.py', 'unit/test_security.py', 'properties/test_cost.py', 'properties/test_differential.py',
         'properties/test_fuzz.py', 'properties/test_parity.py', 'properties/test_split.py')
LOOK = f"""
from importlib import import_module
from typing import Any
from faye_websocket.driver.accel import IS_COMPILED
files = [import_module(f'faye_websocket.{{name}}').__file__ for name in {NAMES}]
print(IS_COMPILED, {{name.endswith('.py') for name in files}})
"""


def look(value: str | None) -> str:
    """Return the output of a new process with this value of FAYE_WEBSOCKET_PURE."""
    env = {name: text for name, text in os.environ.items() if name != 'FAYE_WEBSOCKET_PURE'}
    env |= {} if value is None else {'FAYE_WEBSOCKET_PURE': value}
    return subprocess.run([sys.executable, '-c', LOOK], check=True, env=env, cwd=ROOT, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


def test_the_compiled_form_exists() -> None:
    if os.environ.get('FAYE_WEBSOCKET_BUILD') == 'skip':
        pytest.skip('nothing was to be compiled')
    if find_codec('compiled') is None:
        give_up('the compiled modules are missing, install again after: apt-get install gcc python3-dev')


def test_this_run_uses_the_requested_form() -> None:
    is_wanted = os.environ.get('FAYE_WEBSOCKET_PURE', '') in ('', '0')
    assert (is_wanted and find_codec('compiled') is not None) == compiled.IS_COMPILED


@pytest.mark.parametrize('value', [None, '', '0'])
def test_the_compiled_form_is_imported_if_it_exists(value: str | None) -> None:
    is_there = find_codec('compiled') is not None
    assert look(value) == f'{is_there} {{{not is_there}}}'


@pytest.mark.parametrize(('value', 'is_pure'), [(None, False), ('0', False), ('1', True)])
def test_the_switch_makes_python_look_for_sources_in_all_folders(
        value: str | None, is_pure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'path_importer_cache', {})
    monkeypatch.delenv('FAYE_WEBSOCKET_PURE', raising=False)
    if value is not None:
        monkeypatch.setenv('FAYE_WEBSOCKET_PURE', value)
    spec: Any = compiled.__spec__
    switch = module_from_spec(spec)
    spec.loader.exec_module(switch)
    folders = {str(path.parent) for path in PACKAGE.rglob('*.py')}
    assert set(sys.path_importer_cache) & folders == (folders if is_pure else set())


@pytest.mark.parametrize('value', ['1', 'yes'])
def test_the_pure_form_is_imported_on_request(value: str) -> None:
    assert look(value) == 'False {True}'


def test_compiled_modules_are_newer_than_their_sources() -> None:
    stale = [path.name for path in PACKAGE.rglob('*.so')
             for source in (path.with_name(path.name.partition('.')[0] + suffix) for suffix in ('.py', '.pyx', '.pxd'))
             if source.exists() and source.stat().st_mtime > path.stat().st_mtime]
    assert not stale, "compile again: pip install -e '.[test]'"


def test_every_module_with_c_types_is_compiled() -> None:
    if not compiled.IS_COMPILED:
        pytest.skip('the pure form')
    suffixes = ('.py', '.pyx')
    typed = {path.stem for path in PACKAGE.rglob('*.pxd') if any(path.with_suffix(suffix).exists() for suffix in suffixes)}
    assert {path.name.partition('.')[0] for path in PACKAGE.rglob('*.so')} == typed
    assert len(typed) > 10


@pytest.mark.again
def test_the_other_form_passes_these_tests_too(tmp_path: Path) -> None:
    if 'FAYE_TEST_ONE_FORM' in os.environ:
        pytest.skip('one form is enough here')
    if find_codec('compiled') is None:
        pytest.skip('there is no other form')
    other = '1' if compiled.IS_COMPILED else ''
    env = {**os.environ, 'FAYE_TEST_ONE_FORM': '1', 'FAYE_WEBSOCKET_PURE': other, 'PYTEST_ADDOPTS': ''}
    paths = [str(ROOT / 'tests' / name) for name in AGAIN]
    done = subprocess.run([sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *paths], check=False, env=env,
                          cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-6000:]
