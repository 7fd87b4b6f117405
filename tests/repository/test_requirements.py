"""How tests say what they prove: the collector behind ``python -m tools.requirements``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import requirements
from tools.requirements import BENCHMARKS, REQUIREMENTS, ROOT, collect, ids_in, problems, proofs_in, table

SOURCE = '''
TABLE = [  # B1
    1,
]

def test_one() -> None:  # H1
    pass

def test_long(
    number: int,
) -> None:  # H2, H3
    pass

@pytest.mark.parametrize('x', [1])  # S1: why
def test_decorated(x) -> None:
    value = '# S9'

class TestState:  # L1
    def test_inner(self) -> None:  # L2 L3
        # L4 is about something else
        pass
'''


@pytest.mark.parametrize(('comment', 'ids'), [
    ('# H1', ['H1']), ('#: H10', ['H10']), ('# S1, S2: why', ['S1', 'S2']), ('# L2 L6', ['L2', 'L6']),
    ('# K2,S9', ['K2', 'S9']), ('# about H1', []), ('# H', []), ('# U+D800', []),
    ('# A1', []), ('#', []), ('# noqa: B006', []), ('# C99x', [])])
def test_reads_the_ids_at_the_beginning_of_a_comment(comment: str, ids: list[str]) -> None:
    assert ids_in(comment) == ids


def test_finds_the_tests_that_name_them() -> None:
    assert list(proofs_in(SOURCE, 'tests/x.py')) == [
        ('B1', 'tests/x.py:2'), ('H1', 'tests/x.py::test_one'),
        ('H2', 'tests/x.py::test_long'), ('H3', 'tests/x.py::test_long'),
        ('S1', 'tests/x.py::test_decorated'), ('L1', 'tests/x.py::TestState'), ('L2', 'tests/x.py::TestState::test_inner'),
        ('L3', 'tests/x.py::TestState::test_inner')]


def test_looks_into_all_tests_and_names_a_place_once(tmp_path: Path) -> None:
    for folder in ('tests/inner', 'benchmarks'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'tests' / 'inner' / 'test_a.py').write_text('def test() -> None:  # H1, H1\n    pass\n')
    (tmp_path / 'tests' / 'requirements.py').write_text('# H2\n')
    (tmp_path / 'benchmarks' / 'linearity.py').touch()
    assert collect(tmp_path) == {'H1': ['tests/inner/test_a.py::test'], 'P5': ['python benchmarks/linearity.py']}


@pytest.mark.parametrize('command', BENCHMARKS.values())
def test_names_benchmarks_that_are_there_with_options_that_they_have(command: str) -> None:
    script, *arguments = command.split()
    source = (ROOT / 'benchmarks' / script).read_text()
    assert [name for name in arguments if name.startswith('--') and f"'{name}'" not in source] == []


@pytest.mark.parametrize(('proofs', 'found'), [
    ({'H1': ['tests/x.py::a'], 'P1': ['python benchmarks/b.py']}, []),
    ({'P1': ['python benchmarks/b.py']}, ['H1: no test']),
    ({'H1': ['tests/x.py::a'], 'P1': [], 'H99': ['tests/x.py::e']},
     ['P1: no test', 'H99: there is no such requirement: tests/x.py::e']),
])
def test_tells_what_is_missing(proofs: requirements.Proofs, found: list[str]) -> None:
    assert problems(proofs, ['H1', 'P1']) == found


def test_prints_each_requirement_with_its_tests() -> None:
    lines = list(table({'H1': ['tests/x.py::a', 'tests/x.py::b']}))
    assert lines[:3] == [f'H1   {REQUIREMENTS["H1"]}', '       tests/x.py::a', '       tests/x.py::b']
    assert len(lines) == len(REQUIREMENTS) + 2


def test_fails_when_something_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(requirements, 'collect', lambda: dict.fromkeys(REQUIREMENTS, ['tests/x.py::a']))
    assert requirements.main() == 0
    monkeypatch.setattr(requirements, 'collect', dict)
    assert requirements.main() == 1
    assert 'H1: no test\n' in capsys.readouterr().err


def test_every_requirement_has_a_proof_and_no_test_names_another() -> None:
    assert problems(collect()) == []
