"""Build the archives of a release: equal sources make equal bytes.

    python -m tools.release dist

It needs the packages ``build``, ``setuptools``, ``wheel`` and ``cython``. All times in
the archives are SOURCE_DATE_EPOCH, by default the time of the last commit. The archives
contain no trace of the builder, the machine or the time. The bytes of a wheel also
depend on the compiler.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build(source: Path, directory: Path, epoch: int) -> list[Path]:
    """Build the sdist of ``source`` and the wheel of that sdist; return their paths."""
    variables = {
        'SOURCE_DATE_EPOCH': str(epoch),
        'FAYE_WEBSOCKET_BUILD': 'require',
        'PYTHONHASHSEED': '0',
    }
    command = [sys.executable, '-m', 'build', '--no-isolation', '--outdir', str(directory)]
    subprocess.run([*command, '--sdist', str(source)], env={**os.environ, **variables}, check=True)
    [sdist] = directory.glob('*.tar.gz')
    repack(sdist, epoch)
    with tarfile.open(sdist) as archive:
        archive.extractall(directory / 'unpacked', filter='data')
    [unpacked] = (directory / 'unpacked').iterdir()
    subprocess.run(
        [*command, '--wheel', str(unpacked)], env={**os.environ, **variables}, check=True
    )
    return [sdist, *directory.glob('*.whl')]


def repack(sdist: Path, epoch: int) -> None:
    """Rewrite an sdist without traces of its builder: order, times, owners,
    permissions.
    """
    with tarfile.open(sdist) as archive:
        files = [(member.name, archive.extractfile(member)) for member in archive]
        contents = {name: file.read() for name, file in files if file is not None}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode='w', format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(contents.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(content), epoch, 0o644
            archive.addfile(member, io.BytesIO(content))
    sdist.write_bytes(gzip.compress(packed.getvalue(), mtime=epoch))


def last_commit() -> int:
    """When the last commit was made."""
    shown = subprocess.run(
        ['git', 'log', '-1', '--format=%ct'], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    return int(shown.stdout)


def main() -> None:
    """Build the archives, and print their hashes as ``sha256sum`` does."""
    directory = Path(sys.argv[1])
    directory.mkdir()
    for path in build(ROOT, directory, int(os.environ.get('SOURCE_DATE_EPOCH') or last_commit())):
        print(f'{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}')


if __name__ == '__main__':
    main()
