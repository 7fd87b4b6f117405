"""The archives of a release: built, installed in virtualenvs, and used there.

They are built with a compiler and without.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from tests.support.programs import give_up, require_program

pytestmark = pytest.mark.packaging

#: The files of a checkout that are not sources.
LEFT_OUT = shutil.ignore_patterns('.*', '*.so', '*.egg-info', '__pycache__', 'build', 'dist', 'node_modules')

#: The variables that would decide what is built or imported, instead of the test.
CLEARED = ('CC', 'FAYE_WEBSOCKET_BUILD', 'FAYE_WEBSOCKET_PURE', 'PYTHONPATH')

#: A program that needs only the installed package: two drivers, connected in memory.
ECHO = """
from faye_websocket.driver import accel, client, server

class IO:
    url = 'ws://localhost/'
    def __init__(self):
        self.written = []
    def write(self, data):
        self.written.append(data)

ios = IO(), IO()
ends = client(ios[0]), server(ios[1])
echoes = []
ends[1].on('message', lambda data: ends[1].binary(data) if isinstance(data, bytes) else ends[1].text(data))
ends[0].on('message', echoes.append)
messages = ['h\\u00e9llo', b'', bytes(range(256)), bytes(70000)]
for message in messages:
    ends[0].binary(message) if isinstance(message, bytes) else ends[0].text(message)
ends[0].start()
while ios[0].written or ios[1].written:
    for io, other in zip(ios, reversed(ends)):
        while io.written:
            other.parse(io.written.pop(0))
assert echoes == messages, echoes
print('compiled' if accel.IS_COMPILED else 'pure')
"""

Build = Callable[..., tuple[int, str, list[Path]]]


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program outside of the checkout, with the environment cleared.

    In the checkout, its package would be imported instead of the installed one.
    """
    env = {name: value for name, value in os.environ.items() if name not in CLEARED}
    return subprocess.run([str(each) for each in command], cwd=Path(sys.prefix), env={**env, **variables}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def succeed(*command: str | Path, **variables: str) -> str:
    """Return the output of a program, which must succeed."""
    done = run(*command, **variables)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


class Environment:
    """A new virtualenv."""

    def __init__(self, directory: Path) -> None:
        succeed(sys.executable, '-m', 'venv', directory)
        self.python = directory / 'bin' / 'python'

    def pip(self, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run pip."""
        return run(self.python, '-m', 'pip', '--disable-pip-version-check', *arguments, **variables)

    def echo(self, **variables: str) -> str:
        """Run the program with the drivers, and return the form of the codec."""
        return succeed(self.python, '-c', ECHO, **variables).strip()


@pytest.fixture(scope='module')
def builder(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A virtualenv with everything that is needed to build."""
    require_program('gcc', 'apt-get install gcc', 'cc', 'clang')
    environment = Environment(tmp_path_factory.mktemp('builder'))
    done = environment.pip('install', 'build', 'cython>=3.1', 'setuptools>=77')
    if done.returncode:
        give_up(f'packages cannot be downloaded: {done.stdout[-300:]}')
    return environment


@pytest.fixture(scope='module')
def sdist(builder: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of this checkout."""
    directory = tmp_path_factory.mktemp('sdist')
    source = directory / 'source'
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    succeed(builder.python, '-m', 'build', '--sdist', '--no-isolation', '--outdir', directory, source)
    [sdist] = directory.glob('*.tar.gz')
    return sdist


@pytest.fixture(scope='module')
def build_wheel(builder: Environment, sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A function that builds a wheel of the sdist, with these environment variables.

    It returns pip's exit code, its output, and the wheels.
    """

    def build(**variables: str) -> tuple[int, str, list[Path]]:
        directory = tmp_path_factory.mktemp('wheel')
        done = builder.pip(
            'wheel', '-v', '--no-deps', '--no-build-isolation', '--no-cache-dir', '-w', directory, sdist, **variables)
        return done.returncode, done.stdout, list(directory.iterdir())

    return build


@pytest.fixture(scope='module')
def wheel(build_wheel: Build) -> Path:
    """The wheel that is built on a machine with a compiler."""
    code, output, wheels = build_wheel(FAYE_WEBSOCKET_BUILD='require')
    assert code == 0, output[-4000:]
    [wheel] = wheels
    return wheel


def modules(wheel: Path) -> set[str]:
    """Return the files of the drivers in a wheel.

    Extension modules get one name on every platform.
    """
    names = (Path(name) for name in zipfile.ZipFile(wheel).namelist() if name.startswith('faye_websocket/driver/'))
    return {name.name.split('.')[0] + '.so' if name.suffix == '.so' else name.name for name in names}


class TestSdist:
    def test_contains_the_sources_and_no_built_files(self, sdist: Path) -> None:
        with tarfile.open(sdist) as archive:
            names = {name.partition('/')[2] for name in archive.getnames()}
        sources = ('io/connection.pxd', 'io/connection.py', 'driver/_mask.pxd', 'driver/_mask.pyx', 'driver/codec.pxd')
        assert {f'faye_websocket/{name}' for name in sources} <= names
        assert {'setup.py', 'pyproject.toml', 'setup.cfg', 'faye_websocket/py.typed'} <= names
        assert not [name for name in names if name.startswith('faye_websocket/') and name.endswith(('.c', '.so', '.pyc'))]


class TestWheel:
    def test_contains_compiled_and_pure_modules_but_no_cython_sources(self, wheel: Path) -> None:
        assert not wheel.name.endswith('-none-any.whl')
        names = modules(wheel)
        assert {'codec.so', '_mask.so', 'hybi.so', 'codec.py', 'hybi.py', 'mask.py', 'accel.py'} <= names
        assert not [name for name in names if name.endswith(('.c', '.pyx', '.pxd'))]
        assert 'faye_websocket/py.typed' in zipfile.ZipFile(wheel).namelist()

    def test_works_after_its_installation(self, builder: Environment, wheel: Path, tmp_path: Path) -> None:
        environment = Environment(tmp_path)
        assert environment.pip('install', wheel).returncode == 0
        assert environment.echo() == 'compiled'
        assert environment.echo(FAYE_WEBSOCKET_PURE='1') == 'pure'
        assert environment.echo(FAYE_WEBSOCKET_PURE='0') == 'compiled'


class TestBuild:
    def test_skip_builds_a_wheel_for_every_platform(self, build_wheel: Build) -> None:
        _, _, [wheel] = build_wheel(FAYE_WEBSOCKET_BUILD='skip')
        assert wheel.name.endswith('-py3-none-any.whl')
        assert not [name for name in modules(wheel) if name.endswith('.so')]

    def test_auto_installs_pure_modules_without_a_compiler(self, sdist: Path, tmp_path: Path) -> None:
        environment = Environment(tmp_path)
        done = environment.pip('install', '-v', '--no-cache-dir', sdist, CC='/bin/false')
        assert done.returncode == 0, done.stdout[-4000:]
        # The rest is the text of setuptools, which changes.
        assert 'the modules are not compiled, and work in pure Python: ' in done.stdout
        warning, form = environment.echo().splitlines()
        assert warning.startswith('faye_websocket runs in pure Python, several times slower than when it is compiled')
        assert form == 'pure'
        assert environment.echo(FAYE_WEBSOCKET_PURE='1') == 'pure'

    def test_auto_tags_a_wheel_without_compiled_modules_as_pure(self, build_wheel: Build) -> None:
        code, output, [wheel] = build_wheel(CC='/bin/false')
        assert code == 0, output[-4000:]
        assert wheel.name.endswith('-py3-none-any.whl')
        assert not [name for name in modules(wheel) if name.endswith('.so')]
        [description] = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith('.dist-info/WHEEL')]
        assert 'Root-Is-Purelib: true' in zipfile.ZipFile(wheel).read(description).decode()

    def test_require_fails_without_a_compiler(self, build_wheel: Build) -> None:
        code, output, wheels = build_wheel(CC='/bin/false', FAYE_WEBSOCKET_BUILD='require')
        assert (code, wheels) == (1, [])
        # The rest of the sentence is setuptools' own, which has changed.
        assert re.search("ommand .*'/bin/false'.* (failed|returned non-zero)", output), output[-4000:]

    def test_an_unknown_mode_is_rejected_with_the_known_ones(self, build_wheel: Build) -> None:
        code, output, wheels = build_wheel(FAYE_WEBSOCKET_BUILD='always')
        assert (code, wheels) == (1, [])
        assert "FAYE_WEBSOCKET_BUILD: 'always' is none of auto, require, skip" in output

    def test_auto_and_require_report_that_cython_is_missing(self, sdist: Path, tmp_path: Path) -> None:
        environment = Environment(tmp_path)
        assert environment.pip('install', 'setuptools>=77').returncode == 0
        for mode, code in (('auto', 0), ('require', 1)):
            done = environment.pip(
                'wheel', '-v', '--no-deps', '--no-build-isolation', '-w', tmp_path, sdist, FAYE_WEBSOCKET_BUILD=mode)
            assert done.returncode == code
            assert 'Cython is missing: pip install "cython>=3.1"' in done.stdout
