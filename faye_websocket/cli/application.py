"""The application that ``serve`` is given as ``MODULE:APP`` or ``MODULE:FACTORY()``."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from types import ModuleType, TracebackType
from typing import Any

from . import UsageError

__all__ = [
    'Application',
    'describe_fault',
    'import_application',
    'make_substitute',
    'with_debugger',
]

Application = Callable[..., Any]

# What stands in a traceback before the first line of the application.
_OURS = ('importlib', f'{__package__}.')


def import_application(path: str) -> Application:
    """Return the WSGI application that ``path`` names.

    Raise UsageError if there is none, and whatever the module or the factory raises.
    """
    module_name, _, name = path.partition(':')
    module = _import(path, module_name)
    try:
        found = attrgetter(name.removesuffix('()') or 'app')(module)
    except AttributeError as error:
        raise UsageError(f'cannot import {path}: {error}') from error
    if name.endswith('()') and callable(found):
        found = _call(path, found)
    if not callable(found):
        raise UsageError(f'{path} is not a WSGI application')
    if not _takes_request(found):
        raise UsageError(
            f'{path} is not a WSGI application, which is called with environ and '
            f"start_response. If it returns one, write '{path}()'"
        )
    return found  # type: ignore[no-any-return]


def _call(path: str, factory: Callable[[], Any]) -> Any:
    """Return what the factory returns. Raise UsageError if it takes no such call."""
    try:
        return factory()
    except Exception as error:
        if getattr(error.__traceback__, 'tb_next', None) is not None:
            raise
        # No line of the application is in the traceback.
        name = path.removesuffix('()')
        hint = f". If {name} is the application, write '{name}'"
        problem = f'cannot call {path}: {type(error).__name__}: {error}'
        raise UsageError(problem + hint * _takes_request(factory)) from error


def _takes_request(found: Callable[..., Any]) -> bool:
    """Return whether the object can be called as a server does; True if unknown.

    An application has two arguments that are required. Those of a factory are options.
    """
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return True
    has_any = any(each.kind is each.VAR_POSITIONAL for each in signature.parameters.values())
    return _fits(signature, None, None) and (has_any or not _fits(signature))


def _fits(signature: inspect.Signature, *arguments: object) -> bool:
    """Return whether a call with these arguments is possible."""
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _import(path: str, module_name: str) -> ModuleType:
    """Return the module. Raise UsageError if it does not exist."""
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        # Not if another module is missing, which this one imports.
        if f'{module_name}.'.startswith(f'{error.name}.'):
            raise UsageError(f'cannot import {path}: {_explain(module_name, error)}') from error
        raise
    except (TypeError, ValueError) as error:
        # A name that is empty or relative never gets as far as the module.
        if module_name.strip('.') != module_name or not module_name:
            name = path or repr(path)
            raise UsageError(f'cannot import {name}: {_explain(module_name, error)}') from error
        raise


def _explain(module_name: str, error: Exception) -> str:
    """Return what is wrong with a name: it may be that of a file."""
    stem = module_name.removesuffix('.py')
    if '/' not in module_name and stem == module_name:
        is_name = module_name and module_name == module_name.strip('.')
        return str(error) if is_name else 'expected MODULE:APP, such as hello:app'
    name = stem.strip('./').replace('/', '.')
    return f'expected the name of a module, such as {name}, not that of a file'


def describe_fault(error: BaseException) -> str:
    """Return the traceback of the error, from the application's first line on.

    For a UsageError, return its text.
    """
    if isinstance(error, UsageError):
        return f'{error}\n'
    found = error.__traceback__
    while found is not None and _is_ours(found):
        found = found.tb_next
    return ''.join(traceback.format_exception(type(error), error, found))


def _is_ours(found: TracebackType) -> bool:
    """Return whether this line of a traceback is on the way to the application."""
    return str(found.tb_frame.f_globals.get('__name__')).startswith(_OURS)


def make_substitute(error: BaseException) -> Application:
    """Return what is served while the application cannot be imported: the error."""
    body = describe_fault(error).encode(errors='backslashreplace')

    def substitute(environ: Any, start_response: Any) -> list[bytes]:
        headers = [('Content-Type', 'text/plain; charset=utf-8')]
        start_response('500 Internal Server Error', headers)
        return [body]

    return substitute


def with_debugger(app: Application) -> tuple[Application, str]:
    """Return the application in Werkzeug's debugger, and a line about it.

    Where Werkzeug is not installed, return the application itself.
    """
    try:
        from werkzeug.debug import DebuggedApplication
    except ModuleNotFoundError:
        return app, 'No debugger: Werkzeug is not installed'
    debugged = DebuggedApplication(app, evalex=True)
    return debugged, f"Werkzeug's debugger has the PIN {debugged.pin}"
