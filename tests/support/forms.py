"""The two forms of the codec, pure and compiled.

The package has imported one of them. The other is loaded beside it.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from faye_websocket.driver import accel, codec

__all__ = ['FORMS', 'find_codec']

#: By the name of the form: the loader of a module.
FORMS = {'pure': (SourceFileLoader, SOURCE_SUFFIXES), 'compiled': (ExtensionFileLoader, EXTENSION_SUFFIXES)}


@cache
def find_codec(form: str) -> Any:
    """Return the codec in this form, or None if it was not compiled."""
    if form == ('compiled' if accel.IS_COMPILED else 'pure'):
        return codec
    if form == 'compiled':
        # A process in the pure form does not find this module by itself.
        sys.modules.setdefault('faye_websocket.driver._mask', _load('_mask', form))  # type: ignore[arg-type]
    return _load('codec', form)


def _load(name: str, form: str) -> ModuleType | None:
    """Return a module of the drivers, without adding it to the imported ones."""
    spec = FileFinder(str(Path(accel.__file__).parent), FORMS[form]).find_spec(f'faye_websocket.driver.{name}')
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
