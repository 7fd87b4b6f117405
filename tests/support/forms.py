"""The two forms of the codec, pure and compiled: the one that the package has imported, and the other one beside it."""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

from faye_websocket.driver import accel, codec

__all__ = ['FORMS', 'find_codec']

#: By the form's name: what finds a module in it.
FORMS = {'pure': (SourceFileLoader, SOURCE_SUFFIXES), 'compiled': (ExtensionFileLoader, EXTENSION_SUFFIXES)}


@cache
def find_codec(form: str) -> ModuleType | None:
    """The codec in this form; ``None`` if it was not compiled."""
    if form == ('compiled' if accel.IS_COMPILED else 'pure'):
        return codec
    if form == 'compiled':
        # Which a process that is told to be pure does not find by itself.
        sys.modules.setdefault('faye_websocket.driver._mask', _load('_mask', form))
    return _load('codec', form)


def _load(name: str, form: str) -> ModuleType | None:
    """A module of the drivers', not put among those that are imported."""
    spec = FileFinder(str(Path(accel.__file__).parent), FORMS[form]).find_spec(f'faye_websocket.driver.{name}')
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
