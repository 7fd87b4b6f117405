"""The build of the compiled modules, and the README as a package index shows it.

All other metadata is in setup.cfg.

The environment variable FAYE_WEBSOCKET_BUILD selects one of three modes. With ``auto``,
the default, a machine that cannot compile the modules installs the pure ones; with
``require`` the build fails there; with ``skip`` nothing is compiled. CFLAGS, if set,
replaces the optimization flags of the C compiler.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

MODES = ('auto', 'require', 'skip')
PACKAGE = Path('faye_websocket')
# A module with a ``.pxd`` beside it is compiled. It is a ``.py``, or a ``.pyx`` that
# has a pure counterpart of another name.
SOURCES = sorted(
    source
    for types in PACKAGE.rglob('*.pxd')
    for source in map(types.with_suffix, ('.py', '.pyx'))
    if source.exists()
)
# All C types are declared in the .pxd files. None in the place of a typed object raises
# AttributeError, as it does in Python.
DIRECTIVES = {
    'language_level': 3,
    'annotation_typing': False,
    'auto_pickle': False,
    'infer_types': True,
    'nonecheck': True,
}
# The codec checks its indices itself, which are never negative, and its objects are
# never None.
CODEC_DIRECTIVES = {'boundscheck': False, 'wraparound': False, 'nonecheck': False}

mode = os.environ.get('FAYE_WEBSOCKET_BUILD') or 'auto'
if mode not in MODES:
    raise SystemExit(f'FAYE_WEBSOCKET_BUILD: {mode!r} is none of {", ".join(MODES)}')


class BuildModules(build_ext):
    """A command that compiles all modules or none, because they share their types."""

    def run(self) -> None:
        """Compile the modules, or continue without them where that is allowed."""
        try:
            super().run()
        except Exception as error:
            if mode == 'require':
                raise
            self.warn(f'the modules are not compiled, and work in pure Python: {error}')
            for each in self.extensions:
                Path(self.get_ext_fullpath(each.name)).unlink(missing_ok=True)
            self.extensions = self.distribution.ext_modules = []

    def build_extensions(self) -> None:
        """Translate the sources by Cython, and compile the result."""
        try:
            from Cython.Build import cythonize
        except ImportError:
            raise CompileError('Cython is missing: pip install "cython>=3.1"') from None
        # The C sources are in no package, and have one path in every build, so that
        # ccache recognizes them.
        translated = cythonize(
            self.extensions,
            build_dir='build/cython',
            compiler_directives=DIRECTIVES,
            force=True,
            quiet=True,
        )
        for each, made in zip(self.extensions, translated, strict=True):
            each.sources = made.sources
        # Compile on all cores, unless a number is set.
        self.parallel = self.parallel or True
        super().build_extensions()


class BuildWheel(bdist_wheel):
    """A wheel with the tag of its contents: pure if nothing could be compiled."""

    def run(self) -> None:
        """Compile first, because the directories in the wheel depend on the result."""
        self.run_command('build_ext')
        self.root_is_pure = self.distribution.is_pure()
        super().run()


def extension(source: Path) -> Extension:
    """Return the compiled module of a source, under its dotted name."""
    # Only the loop over a payload's bytes is faster with -O3; -O2 compiles the rest in
    # half the time.
    flags = [] if 'CFLAGS' in os.environ else ['-O3' if source.suffix == '.pyx' else '-O2', '-g0']
    made = Extension(
        '.'.join(source.with_suffix('').parts), [str(source)], extra_compile_args=flags
    )
    made.cython_directives = CODEC_DIRECTIVES if source.stem in ('_mask', 'codec') else {}
    return made


tools = runpy.run_path('tools/readme.py')
setup(
    ext_modules=[] if mode == 'skip' else [extension(source) for source in SOURCES],
    cmdclass={'build_ext': BuildModules, 'bdist_wheel': BuildWheel},
    long_description=tools['readme'](tools['repository']()),
)
