"""Finding changes of files, and the successor of a process."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from faye_websocket.cli import reload
from faye_websocket.cli.reload import Successor, Watcher, files_of, take_listener
from tests.support.local import settle, wait_until


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[set[str]]:
    """The files that count as imported, in the current directory."""
    imported: set[str] = set()
    monkeypatch.setattr(reload, 'imported_files', imported.copy)
    monkeypatch.setattr(reload, '_INTERVAL', 0.01)
    monkeypatch.setattr(reload, '_SETTLED', 0.01)
    monkeypatch.chdir(tmp_path)
    yield imported


@pytest.fixture(params=['polling', 'watchfiles'])
def means(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to learn of a change."""
    if request.param == 'polling':
        monkeypatch.setitem(sys.modules, 'watchfiles', None)


def write(path: Path, text: str = '', seconds_ago: float = 0) -> str:
    """Write a file that was changed some time ago, and return its path."""
    path.write_text(text)
    if seconds_ago:
        changed = time.time() - seconds_ago
        os.utime(path, (changed, changed))
    return str(path)


def change_after(watcher: Watcher, action: Any) -> str:
    """Return the change that a watcher finds after an action."""
    waiting = gevent.spawn(watcher.wait)
    settle()
    assert not waiting.ready()
    action()
    return str(waiting.get(timeout=10))


@pytest.mark.usefixtures('means')
class TestWatcher:
    """The watcher of files."""

    @pytest.mark.proves('V2')
    def test_finds_a_file_that_changes(self, files: set[str], tmp_path: Path) -> None:
        files.add(write(tmp_path / 'a.py', seconds_ago=9))
        files.add(path := write(tmp_path / 'b.py', seconds_ago=9))
        assert change_after(Watcher(time.time()), lambda: write(tmp_path / 'b.py', 'new')) == path

    def test_finds_a_file_that_is_replaced_or_gone(self, files: set[str], tmp_path: Path) -> None:
        files.add(path := write(tmp_path / 'a.py', seconds_ago=9))
        write(tmp_path / 'new', seconds_ago=5)
        assert change_after(Watcher(time.time()), lambda: os.replace(tmp_path / 'new', path)) == path
        assert change_after(Watcher(time.time()), lambda: os.unlink(path)) == path

    def test_finds_a_change_of_a_module_that_is_imported_later(self, files: set[str], tmp_path: Path) -> None:
        files.add(write(tmp_path / 'a.py', seconds_ago=9))
        (tmp_path / 'folder').mkdir()
        path = write(tmp_path / 'folder' / 'b.py')
        watcher = Watcher(time.time())
        waiting = gevent.spawn(watcher.wait)
        settle()
        files.add(path)
        wait_until(lambda: path in watcher._times)
        assert not waiting.ready()
        write(tmp_path / 'folder' / 'b.py', 'new')
        assert waiting.get(timeout=10) == path

    def test_waits_until_nothing_changes_any_more(self, files: set[str], tmp_path: Path) -> None:
        files.add(path := write(tmp_path / 'a.py', seconds_ago=9))
        watcher = Watcher(time.time())
        looks = iter([None, path, path, path, None])
        watcher._find_change = lambda: next(looks)  # type: ignore[method-assign]
        watcher._pause = lambda folders: None
        assert watcher.wait() == path
        assert list(looks) == []

    def test_does_not_wait_for_ever(self, files: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        watcher = Watcher(time.time())
        watcher._find_change = lambda: 'a.py'  # type: ignore[method-assign]
        monkeypatch.setattr(reload, '_ATTEMPTS', 3)
        assert watcher.wait() == 'a.py'


class TestBeginning:
    """Changes before the first look."""

    def test_a_file_that_changed_during_the_imports_is_found(self, files: set[str], tmp_path: Path) -> None:
        files.add(path := write(tmp_path / 'a.py', seconds_ago=1))
        assert gevent.spawn(Watcher(time.time() - 2).wait).get(timeout=10) == path

    def test_a_time_in_the_future_is_no_change(self, files: set[str], tmp_path: Path) -> None:
        files.add(path := write(tmp_path / 'a.py', seconds_ago=-1000))
        watcher = Watcher(time.time() - 2)
        assert watcher._times[path] > 0
        assert watcher._find_change() is None


class TestAfterAFault:
    """After a fault, files that it names and new ones count."""

    @pytest.mark.proves('V2')
    def test_a_file_that_it_names_counts(self, files: set[str], tmp_path: Path) -> None:
        path = write(tmp_path / 'a.py', seconds_ago=9)
        watcher = Watcher(time.time(), {path})
        write(tmp_path / 'a.py', 'new')
        assert watcher._find_change() == path

    def test_a_new_file_counts(self, files: set[str], tmp_path: Path) -> None:
        (tmp_path / 'folder').mkdir()
        path = write(tmp_path / 'folder' / 'a.py', seconds_ago=9)
        watcher = Watcher(time.time(), {path, '/nowhere/at/all.py'})
        write(tmp_path / 'folder' / 'notes.txt')
        assert watcher._find_change() is None
        assert write(tmp_path / 'folder' / 'b.py') == watcher._find_change()
        assert write(tmp_path / 'c.py') == watcher._find_change()

    def test_a_module_that_is_imported_later_does_not(self, files: set[str], tmp_path: Path) -> None:
        watcher = Watcher(time.time(), set())
        (tmp_path / 'folder').mkdir()
        files.add(write(tmp_path / 'folder' / 'a.py'))
        assert watcher._find_change() is None

    def test_files_are_those_of_the_traceback_and_of_the_syntax(self, tmp_path: Path) -> None:
        with pytest.raises(SyntaxError) as caught:
            compile('def (', write(tmp_path / 'a.py'), 'exec')
        assert files_of(caught.value) == {__file__, str(tmp_path / 'a.py')}
        with pytest.raises(SyntaxError) as caught:
            compile('def (', '<text>', 'exec')
        assert files_of(caught.value) == {__file__}
        assert files_of(SyntaxError('without a file')) == set()


def test_the_imported_files_are_those_of_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'not_a_module', None)
    assert {__file__, reload.__file__} <= reload.imported_files()


class TestSuccessor:
    """The successor of this process."""

    def test_has_the_arguments_the_environment_and_the_directory_of_the_beginning(
            self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        calls: list[Any] = []
        monkeypatch.setattr(atexit, '_run_exitfuncs', lambda: calls.append('exit functions'))
        monkeypatch.setattr(os, 'execve', lambda *arguments: calls.append((*arguments, os.getcwd())))
        monkeypatch.setattr(signal, 'pthread_sigmask', lambda *arguments: calls.append(arguments))
        monkeypatch.setattr(sys, 'stdout', None)
        monkeypatch.chdir(before := os.getcwd())
        successor = Successor()
        environment = dict(os.environ)
        monkeypatch.setenv('ANOTHER', 'x')
        monkeypatch.chdir(tmp_path)
        with gevent.socket.socket() as listener:
            successor.start(listener)
            descriptor = str(listener.fileno())
            assert listener.get_inheritable()
        assert calls == [
            'exit functions', (signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM)),
            (sys.executable, [sys.executable, *sys.orig_argv[1:]], environment | {'FAYE_WEBSOCKET_LISTENER': descriptor},
             before)]

    def test_takes_the_listener_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with gevent.socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            listener.set_inheritable(True)
            monkeypatch.setenv('FAYE_WEBSOCKET_LISTENER', str(os.dup(listener.fileno())))
            with take_listener() as taken:
                assert taken.getsockname() == listener.getsockname()
                assert not taken.get_inheritable()
        assert take_listener() is None


def test_the_folders_are_watched_anew_only_if_they_change(tmp_path: Path) -> None:
    watched: list[tuple[str, ...]] = []

    def watch(*folders: str, **options: object) -> Iterator[None]:
        watched.append(folders)
        yield from [None] * 9

    pause = reload._Notifications(watch)
    for folders in ({str(tmp_path)}, {str(tmp_path)}, {str(tmp_path), '/nowhere/at/all'}):
        pause(folders)
    assert watched == [(str(tmp_path),), (str(tmp_path),)]
