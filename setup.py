"""Everything is in setup.cfg, but the compiled modules.

The environment variable FAYE_WEBSOCKET_BUILD says what becomes of them: with ``auto``, the default, a machine that cannot
compile them installs the pure ones; with ``require`` it fails; with ``skip`` nothing is compiled. CFLAGS, where they are set,
say how much the C compiler optimizes.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

MODES = ('auto', 'require', 'skip')
PACKAGE = Path('faye_websocket')
# What has its C types beside it in a ``.pxd`` is compiled: a module of Python, or a ``.pyx``, which Python has by another name.
SOURCES = sorted(
    source
    for types in PACKAGE.rglob('*.pxd')
    for source in map(types.with_suffix, ('.py', '.pyx'))
    if source.exists()
)
# What types there are is in the .pxd files alone. None in the place of a typed object is an AttributeError, as it is in Python.
DIRECTIVES = {
    'language_level': 3,
    'annotation_typing': False,
    'auto_pickle': False,
    'infer_types': True,
    'nonecheck': True,
}
# Indices are checked by the codec itself, and never negative; and its objects are never None.
CODEC_DIRECTIVES = {'boundscheck': False, 'wraparound': False, 'nonecheck': False}

mode = os.environ.get('FAYE_WEBSOCKET_BUILD') or 'auto'
if mode not in MODES:
    raise SystemExit(f'FAYE_WEBSOCKET_BUILD: {mode!r} is none of {", ".join(MODES)}')


class BuildModules(build_ext):
    """Compiles all modules or none: they know each other's types."""

    def run(self) -> None:
        """Goes on without them where they may be left out."""
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
        """Has Cython translate the sources first."""
        try:
            from Cython.Build import cythonize
        except ImportError:
            raise CompileError('Cython is missing: pip install "cython>=3.1"') from None
        # The C goes into no package, and has one path in every build, by which ccache knows it.
        translated = cythonize(
            self.extensions,
            build_dir='build/cython',
            compiler_directives=DIRECTIVES,
            force=True,
            quiet=True,
        )
        for each, made in zip(self.extensions, translated, strict=True):
            each.sources = made.sources
        # On all cores, unless somebody says on how many.
        self.parallel = self.parallel or True
        super().build_extensions()


class BuildWheel(bdist_wheel):
    """A wheel whose tag says what is in it: pure if nothing could be compiled."""

    def run(self) -> None:
        """Compile first, since the directories in the wheel depend on it, too."""
        self.run_command('build_ext')
        self.root_is_pure = self.distribution.is_pure()
        super().run()


def extension(source: Path) -> Extension:
    """A compiled module, of the name of its source."""
    # Only the loop over a payload's bytes is quicker for -O3; the rest is compiled in half the time.
    flags = [] if 'CFLAGS' in os.environ else ['-O3' if source.suffix == '.pyx' else '-O2', '-g0']
    made = Extension(
        '.'.join(source.with_suffix('').parts), [str(source)], extra_compile_args=flags
    )
    made.cython_directives = CODEC_DIRECTIVES if source.stem in ('_mask', 'codec') else {}
    return made


extensions = [] if mode == 'skip' else [extension(source) for source in SOURCES]
setup(ext_modules=extensions, cmdclass={'build_ext': BuildModules, 'bdist_wheel': BuildWheel})
