"""Everything is in setup.cfg, but the compiled codec.

The environment variable FAYE_WEBSOCKET_BUILD says what becomes of it: with ``auto``, the default, a machine that cannot
compile it installs the pure one; with ``require`` it fails; with ``skip`` nothing is compiled.
"""

from __future__ import annotations

import os

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

DRIVER = 'faye_websocket/driver'
MODES = ('auto', 'require', 'skip')
# Indices are checked by the codec itself, and never negative; what types it has is in _codec.pxd alone.
DIRECTIVES = {
    'language_level': 3, 'annotation_typing': False, 'auto_pickle': False, 'boundscheck': False, 'wraparound': False}

mode = os.environ.get('FAYE_WEBSOCKET_BUILD') or 'auto'
if mode not in MODES:
    raise SystemExit(f'FAYE_WEBSOCKET_BUILD: {mode!r} is none of {", ".join(MODES)}')


def extension(name: str, source: str) -> Extension:
    """A module of the compiled codec; an optional one may fail to compile."""
    return Extension(
        f'faye_websocket.driver.{name}',
        [f'{DRIVER}/{source}'],
        depends=[f'{DRIVER}/{each}' for each in ('_codec.pxd', '_mask.pxd')],
        extra_compile_args=['-O3', '-g0'],
        optional=mode == 'auto',
    )


class BuildCodec(build_ext):
    """Has Cython translate each source first; the C stays where setuptools builds, and goes into no package."""

    def build_extension(self, ext: Extension) -> None:
        """Makes a module of an extension; setuptools warns and goes on when an optional one raises CompileError."""
        try:
            from Cython.Build import cythonize
        except ImportError:
            raise CompileError('Cython is missing: pip install "cython>=3.0.11"') from None
        # By itself Cython would not see that _codec.pxd, whose name is not that of codec.py, has changed.
        [translated] = cythonize([ext], build_dir=self.build_temp, compiler_directives=DIRECTIVES, force=True)
        ext.sources = translated.sources
        super().build_extension(ext)


extensions = [] if mode == 'skip' else [extension('_mask', '_mask.pyx'), extension('_codec', 'codec.py')]
setup(ext_modules=extensions, cmdclass={'build_ext': BuildCodec})
