"""The check of prose that the lint environment runs: ``python tools/prose.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.programs import give_up, require_program
from tools import prose
from tools.prose import CLEAN, ROOT, THIRD_PERSON, is_clean, main, problems

LONG = 'x ' * 44 + 'y'
FITS = LONG[:88]


def found(source: str, path: str = 'module.py') -> list[int]:
    """Return the numbers of the lines that have a fault."""
    return [line for line, _ in problems(path, source)]


def test_all_clean_files_pass() -> None:
    require_program('git', 'apt-get install git')
    if not (ROOT / '.git').exists():
        give_up('this is no repository, whose files could be listed: git clone')
    assert main([]) == 0


def test_every_clean_path_exists() -> None:
    assert [path for path in CLEAN if not (ROOT / path).exists()] == []


def test_a_clean_folder_includes_all_files_below_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prose, 'CLEAN', ('a/b', 'c.py'))
    assert is_clean('a/b/c/d.py')
    assert is_clean('c.py')
    assert not is_clean('a/bc.py')


def test_prints_the_file_and_the_line_of_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'a.py').write_text('"""What it is."""\n')
    monkeypatch.setattr(prose, 'ROOT', tmp_path)
    monkeypatch.setattr(prose, 'tracked_files', lambda: ['a.py'])
    assert main([]) == 0
    assert main(['--all']) == 1
    assert capsys.readouterr().out == 'a.py:1: a docstring begins with "What"\n'


class TestColumns:
    def test_a_line_of_88_columns_passes_and_one_of_89_does_not(self) -> None:
        assert found(f'#{LONG[:87]}\nx = 1\n') == []
        assert found(f'#{LONG[:88]}\nx = 1\n') == [1]

    @pytest.mark.parametrize(
        ('source', 'line'),
        [
            (f'# {LONG}\n', 1),
            (f'x = 1  # {LONG}\n', 1),
            (f'"""Summary.\n\n{LONG}\n"""\n', 3),
            (f'def f():\n    """Read {LONG}"""\n', 2),
            (f'class A:\n    x = 1\n    """Value {LONG}"""\n', 3),
        ],
    )
    def test_checks_comments_and_docstrings(self, source: str, line: int) -> None:
        assert found(source) == [line]

    @pytest.mark.parametrize(
        'source',
        [
            f'x = """{LONG}"""\n',
            f'call(\n    """{LONG}"""\n)\n',
            f'x = {FITS!r}  # noqa: E501, why\n',
            f'def test_{"x" * 80}():  # H1, S2: why\n    pass\n',
            f'# see https://example.com/{"x" * 80}\n',
        ],
    )
    def test_ignores_code_directives_and_links(self, source: str) -> None:
        assert found(source) == []

    def test_checks_cython(self) -> None:
        source = f'cdef int f(int a) noexcept nogil:\n    """{LONG}"""\n    # {LONG}\n'
        assert found(source, 'module.pyx') == [2, 3]


class TestBeginnings:
    @pytest.mark.parametrize(
        'beginning', ['What', 'Who', 'Has', 'The same', 'Tells', 'Answers']
    )
    @pytest.mark.parametrize(
        'source', ['"""{} it."""\n', 'class A:\n\n    """{} it."""\n']
    )
    def test_no_docstring_is_a_riddle(self, source: str, beginning: str) -> None:
        assert len(found(source.format(beginning))) == 1

    @pytest.mark.parametrize('word', ['The', 'A', 'Whether', *THIRD_PERSON])
    def test_the_docstring_of_a_function_is_a_command(self, word: str) -> None:
        assert found(f'def f():\n    """{word} it."""\n') == [2]

    def test_whole_words_are_compared(self) -> None:
        assert found('def f():\n    """Allow it."""\n') == []
        assert found('"""Forms of it."""\n') == []

    @pytest.mark.parametrize(
        'decorator', ['property', 'cached_property', 'x.setter', 'pytest.fixture()']
    )
    def test_a_property_or_fixture_has_a_noun(self, decorator: str) -> None:
        assert found(f'@{decorator}\ndef f():\n    """The value."""\n') == []


class TestPages:
    def test_checks_paragraphs_and_lists(self) -> None:
        assert found(f'{LONG}\n\n- {LONG}\n', 'page.rst') == [1, 3]

    @pytest.mark.parametrize(
        'page',
        [
            f'Code::\n\n    {LONG}\n\n    {LONG}\n',
            f'.. code-block:: python\n\n    {LONG}\n',
            f'- Code::\n\n      {LONG}\n',
            f'| a | {LONG} |\n',
            f'{"=" * 50} {"=" * 50}\n{LONG}\n{"=" * 50} {"=" * 50}\n',
            f'{LONG} `a link <https://example.com/>`_\n',
        ],
    )
    def test_ignores_literal_blocks_tables_and_links(self, page: str) -> None:
        assert found(page, 'page.rst') == []

    def test_checks_the_text_after_a_literal_block_or_a_table(self) -> None:
        assert found(f'Code::\n\n    {LONG}\n\n{LONG}\n', 'page.rst') == [5]
        assert found(f'== ==\n{LONG}\n== ==\n\n{LONG}\n', 'page.rst') == [5]
