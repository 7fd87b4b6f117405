"""The editor of lines in a terminal, where prompt_toolkit is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import gevent
import gevent.event

__all__ = ['PROMPT', 'Editor', 'make_editor']

PROMPT = '> '


class Editor:
    """An editor of lines: a prompt of prompt_toolkit in an OS thread of its own.

    Output that is printed meanwhile appears above the prompt.
    """

    def __init__(self, session: Any, interrupted: Callable[[], object]) -> None:
        self._session = session
        self._interrupted = interrupted
        self._ended = gevent.event.Event()
        self._is_stopping = False

    def read_lines(self) -> Iterator[str]:
        """Yield the lines that are typed, until the end of input, Ctrl-C, or ``stop``.

        Only the calling greenlet blocks.
        """
        from prompt_toolkit.application import create_app_session
        from prompt_toolkit.patch_stdout import patch_stdout

        pool = gevent.get_hub().threadpool
        try:
            with (
                create_app_session(self._session.input, self._session.output),
                patch_stdout(raw=True),
            ):
                # The thread and this greenlet need one context, so that output goes
                # above the prompt.
                context = copy_context()
                while isinstance(answer := pool.apply(context.run, (self._ask,)), str):
                    yield answer
        finally:
            self._ended.set()
        if isinstance(answer, KeyboardInterrupt):
            self._interrupted()

    def stop(self) -> None:
        """End the prompt, and restore the terminal."""
        self._is_stopping = True
        # The prompt runs in another thread, and may end meanwhile, with its event loop.
        # Then the next prompt finds that it must end.
        if (loop := self._session.app.loop) is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._exit)
        self._ended.wait()

    def _ask(self) -> str | BaseException:
        """Return one line, or the exception for which there is none.

        This runs in the thread, from which no exception may escape.
        """
        try:
            return str(self._session.prompt(PROMPT, pre_run=self._exit))
        except (EOFError, KeyboardInterrupt) as error:
            return error

    def _exit(self) -> None:
        """End the prompt, if ``stop`` was called.

        This runs in the thread. It also runs when a prompt begins, since ``stop`` may
        have found none.
        """
        future = self._session.app.future
        if self._is_stopping and future is not None and not future.done():
            self._session.app.exit(exception=EOFError)


def make_editor(interrupted: Callable[[], object]) -> Editor | None:
    """Return an editor, or None if prompt_toolkit is not installed.

    The extra ``prompt`` installs it. ``interrupted`` is called at Ctrl-C.
    """
    try:
        from prompt_toolkit import PromptSession
    except ModuleNotFoundError:
        return None
    return Editor(PromptSession(), interrupted)
