"""The archives of a release, which anybody can build again to the last byte."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.repository.test_packaging import LEFT_OUT, Environment, builder, succeed
from tests.support.processes import ROOT

__all__ = ['builder']

pytestmark = pytest.mark.packaging

EPOCH = 1_700_000_000


def test_builds_in_different_folders_at_different_times_are_identical(builder: Environment, tmp_path: Path) -> None:
    checkout = shutil.copytree(ROOT, tmp_path / 'checkout', ignore=LEFT_OUT)
    hashes = []
    for name, age, mode in (('one', 10**8, 0o600), ('another place', 10**5, 0o755)):
        source = shutil.copytree(checkout, tmp_path / name / 'source')
        for path in source.rglob('*'):
            os.utime(path, (EPOCH + age, EPOCH + age))
            path.chmod(0o700 if path.is_dir() else mode)
        out = tmp_path / name / 'out'
        out.mkdir()
        succeed(builder.python, '-c', (
            f'import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path; from tools.release import build; '
            f'build(Path({str(source)!r}), Path({str(out)!r}), {EPOCH})'))
        hashes.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir() if path.is_file()})
    assert len(hashes[0]) == 2
    assert hashes[0] == hashes[1]
    with tarfile.open(next(out.glob('*.tar.gz'))) as archive:
        members = archive.getmembers()
    assert {(member.mtime, member.uid, member.uname, member.mode) for member in members} == {(EPOCH, 0, '', 0o644)}
