"""The tool ``python -m tools.requirements``, which collects the proofs of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import requirements
from tools.requirements import BENCHMARKS, REQUIREMENTS, ROOT, collect, problems, proofs_in, table

SOURCE = '''
pytestmark = pytest.mark.proves('B1')

@pytest.mark.proves('H1')
def test_one() -> None:
    pass

@pytest.mark.parametrize('number', [1])
@pytest.mark.proves('H2', 'H3')
def test_two(number: int) -> None:
    text = "pytest.mark.proves('S9')"

@pytest.mark.parametrize('number', [pytest.param(1, marks=pytest.mark.proves('S1')), 2])
def test_with_a_marked_parameter(number: int) -> None:  # S8
    pass

@pytest.mark.proves('L1')
class TestState:
    @pytest.mark.proves('L2')
    def test_inner(self) -> None:
        pass

TestTwo = pytest.mark.proves('L3')(TestState)
'''


def test_finds_the_tests_that_prove_requirements() -> None:
    assert list(proofs_in(SOURCE, 'tests/x.py')) == [
        ('B1', 'tests/x.py'), ('H1', 'tests/x.py::test_one'),
        ('H2', 'tests/x.py::test_two'), ('H3', 'tests/x.py::test_two'),
        ('S1', 'tests/x.py::test_with_a_marked_parameter'),
        ('L2', 'tests/x.py::TestState::test_inner'), ('L1', 'tests/x.py::TestState'),
        ('L3', 'tests/x.py')]


def test_collects_all_tests_and_lists_each_place_once(tmp_path: Path) -> None:
    for folder in ('tests/inner', 'benchmarks'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'tests' / 'inner' / 'test_a.py').write_text(
        "@pytest.mark.proves('H1', 'H1')\ndef test() -> None:\n    pass\n")
    (tmp_path / 'benchmarks' / 'linearity.py').touch()
    assert collect(tmp_path) == {'H1': ['tests/inner/test_a.py::test'], 'P5': ['python benchmarks/linearity.py']}


@pytest.mark.parametrize('command', BENCHMARKS.values())
def test_lists_existing_benchmarks_with_valid_options(command: str) -> None:
    script, *arguments = command.split()
    source = (ROOT / 'benchmarks' / script).read_text()
    assert [name for name in arguments if name.startswith('--') and f"'{name}'" not in source] == []


@pytest.mark.parametrize(('proofs', 'found'), [
    ({'H1': ['tests/x.py::a'], 'P1': ['python benchmarks/b.py']}, []),
    ({'P1': ['python benchmarks/b.py']}, ['H1: no test']),
    ({'H1': ['tests/x.py::a'], 'P1': [], 'H99': ['tests/x.py::e']},
     ['P1: no test', 'H99: there is no such requirement: tests/x.py::e']),
])
def test_reports_missing_and_unknown_requirements(proofs: requirements.Proofs, found: list[str]) -> None:
    assert problems(proofs, ['H1', 'P1']) == found


def test_prints_each_requirement_with_its_tests() -> None:
    lines = list(table({'H1': ['tests/x.py::a', 'tests/x.py::b']}))
    assert lines[:3] == [f'H1   {REQUIREMENTS["H1"]}', '       tests/x.py::a', '       tests/x.py::b']
    assert len(lines) == len(REQUIREMENTS) + 2


def test_fails_if_a_requirement_has_no_test(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(requirements, 'collect', lambda: dict.fromkeys(REQUIREMENTS, ['tests/x.py::a']))
    assert requirements.main() == 0
    monkeypatch.setattr(requirements, 'collect', dict)
    assert requirements.main() == 1
    assert 'H1: no test\n' in capsys.readouterr().err


def test_every_requirement_has_a_test_and_no_test_names_an_unknown_one() -> None:
    assert problems(collect()) == []
