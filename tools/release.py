"""Builds what is released, the same bytes from the same sources: ``python -m tools.release dist``.

Needs the packages ``build``, ``setuptools``, ``wheel`` and ``cython``. All times in the archives are SOURCE_DATE_EPOCH,
which is by default that of the last commit; who built it, where and when leaves no trace. A wheel's bytes depend on the
compiler, too.
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
    """The sdist of ``source`` and the wheel of that sdist, in ``directory``."""
    variables = {'SOURCE_DATE_EPOCH': str(epoch), 'FAYE_WEBSOCKET_BUILD': 'require', 'PYTHONHASHSEED': '0'}
    command = [sys.executable, '-m', 'build', '--no-isolation', '--outdir', str(directory)]
    subprocess.run([*command, '--sdist', str(source)], env={**os.environ, **variables}, check=True)
    [sdist] = directory.glob('*.tar.gz')
    repack(sdist, epoch)
    with tarfile.open(sdist) as archive:
        archive.extractall(directory / 'unpacked', filter='data')
    [unpacked] = (directory / 'unpacked').iterdir()
    subprocess.run([*command, '--wheel', str(unpacked)], env={**os.environ, **variables}, check=True)
    return [sdist, *directory.glob('*.whl')]


def repack(sdist: Path, epoch: int) -> None:
    """Writes an sdist anew without what setuptools puts there of its builder: order, times, owners, permissions."""
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
    shown = subprocess.run(['git', 'log', '-1', '--format=%ct'], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return int(shown.stdout)


def main() -> None:
    """Prints the archives' hashes as ``sha256sum`` does."""
    directory = Path(sys.argv[1])
    directory.mkdir()
    for path in build(ROOT, directory, int(os.environ.get('SOURCE_DATE_EPOCH') or last_commit())):
        print(f'{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}')


if __name__ == '__main__':
    main()
