"""Check the prose of the repository: print each fault with its file and line.

    python tools/prose.py

Prose is a docstring, a comment, or the text of a page in reStructuredText, without its
tables, literal blocks and links. A line of it has at most 88 columns. The docstring of
a function begins with a verb in the imperative ("Return the next frame."), that of a
class, a module or a property with a noun; none begins with a word of ``RIDDLES``.

Only the files below the paths of CLEAN are checked; ``--all`` checks all files.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

MAX_COLUMNS = 88

# Files and folders whose prose has been rewritten.
CLEAN = (
    'CHANGES.rst',
    'CONTRIBUTING.rst',
    'README.rst',
    'benchmarks',
    'docs',
    'examples',
    'faye_websocket',
    'setup.py',
    'tests',
    'tools',
)

# Beginnings that no docstring may have, because the sentence after them is a clause
# without its noun, or speaks of the code as of a person.
RIDDLES = (
    'Answers',
    'As',
    'Everybody',
    'For',
    'Has',
    'Have',
    'How',
    'It',
    'Lets',
    'Nobody',
    'Somebody',
    'Tells',
    'That',
    'The same',
    'There',
    'Those',
    'What',
    'Whatever',
    'Where',
    'Which',
    'Who',
    'Whoever',
    'Whose',
)
# Beginnings that the docstring of a function may not have: it is a command.
NO_COMMANDS = ('A', 'All', 'An', 'Each', 'Every', 'Its', 'No', 'One', 'The', 'Whether')
# Verbs in the third person, found in docstrings here before they were rewritten.
THIRD_PERSON = (
    'Accepts',
    'Adds',
    'Agrees',
    'Asks',
    'Begins',
    'Blocks',
    'Brings',
    'Calls',
    'Checks',
    'Closes',
    'Compiles',
    'Connects',
    'Counts',
    'Creates',
    'Cuts',
    'Delivers',
    'Does',
    'Drops',
    'Emits',
    'Ends',
    'Fails',
    'Forgets',
    'Gives',
    'Goes',
    'Hands',
    'Holds',
    'Interrupts',
    'Is',
    'Keeps',
    'Leaves',
    'Logs',
    'Looks',
    'Makes',
    'Names',
    'Opens',
    'Parses',
    'Prints',
    'Puts',
    'Raises',
    'Reads',
    'Refuses',
    'Registers',
    'Remembers',
    'Removes',
    'Replaces',
    'Returns',
    'Runs',
    'Says',
    'Sends',
    'Serves',
    'Sets',
    'Shows',
    'Starts',
    'Stops',
    'Takes',
    'Undoes',
    'Waits',
    'Writes',
    'XORs',
)

Problem = tuple[int, str]

_SOURCE = ('.py', '.pyx', '.pxd')
# Comments that programs read; their length is not a matter of style.
_DIRECTIVE = re.compile(r'#\s*(noqa|type:|pragma|pyright:|!|[A-Z]\d+[a-z]?\b)')
_LINK = re.compile(r'https?://|`_|^\.\. _')
# Lines of a page that begin a block which is indented, and not prose.
_DIRECTIVE_LINE = re.compile(r'^\.\. |::$')
_TABLE_LINE = re.compile(r'^\s*([=+-][=+ -]+|\|.*\||\* - .*)$')
_TABLE_BORDER = re.compile(r'^\s*=+( +=+)+$')


def main(arguments: list[str]) -> int:
    """Print the faults of the clean files (``--all``: of all); return the status."""
    faults = 0
    for path in tracked_files():
        if '--all' not in arguments and not is_clean(path):
            continue
        for line, problem in problems(path, (ROOT / path).read_text(encoding='utf-8')):
            print(f'{path}:{line}: {problem}')
            faults += 1
    return 1 if faults else 0


def tracked_files() -> list[str]:
    """Return the paths of all files of the repository that may hold prose."""
    command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard']
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = output.stdout.splitlines()
    return [path for path in paths if path.endswith((*_SOURCE, '.rst')) and (ROOT / path).exists()]


def is_clean(path: str) -> bool:
    """Return whether the file is one of CLEAN, or is below one of its folders."""
    return any(path == clean or path.startswith(f'{clean}/') for clean in CLEAN)


def problems(path: str, text: str) -> list[Problem]:
    """Return the line and the description of each fault, in the order of the lines."""
    if path.endswith('.rst'):
        return list(long_lines_of_page(text))
    found = [*long_lines(text), *bad_docstrings(text)]
    if path.endswith('.py'):
        found.extend(bad_commands(text))
    return sorted(found)


def long_lines(source: str) -> Iterator[Problem]:
    """Yield the long lines of docstrings, and those that end with a comment."""
    lines = source.splitlines()
    for token in prose_tokens(source):
        for number in range(token.start[0], token.end[0] + 1):
            if is_too_long(lines[number - 1]):
                yield number, too_long(lines[number - 1])


def prose_tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    """Yield the tokens that are docstrings or comments, bar those for programs."""
    for token in tokens(source):
        is_comment = token.type == tokenize.COMMENT
        if not is_comment or not _DIRECTIVE.match(token.string):
            yield token


def tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    """Yield the comments, and the strings that are a statement of their own."""
    # A line break within brackets is NL, not NEWLINE, so that a string which begins a
    # line of a call is not taken for a docstring.
    beginnings = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
    before = tokenize.ENCODING
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_docstring = token.type == tokenize.STRING and before in beginnings
        if is_docstring or token.type == tokenize.COMMENT:
            yield token
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            before = token.type


def bad_docstrings(source: str) -> Iterator[Problem]:
    """Yield the docstrings that begin with one of RIDDLES."""
    for token in tokens(source):
        if token.type == tokenize.STRING:
            text = token.string.lstrip('rRuUbB').strip('"\'').strip()
            yield from begins_with(text, RIDDLES, token.start[0])


def bad_commands(source: str) -> Iterator[Problem]:
    """Yield the docstrings of functions that do not begin with an imperative."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring and not is_value(node):
                line = node.body[0].lineno
                yield from begins_with(docstring, NO_COMMANDS + THIRD_PERSON, line)


def is_value(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether the function stands for a value: a property or a fixture."""
    names = [
        part.attr if isinstance(part, ast.Attribute) else part.id
        for decorator in function.decorator_list
        for part in ast.walk(decorator)
        if isinstance(part, ast.Attribute | ast.Name)
    ]
    return any('property' in name or name in ('fixture', 'setter') for name in names)


def begins_with(text: str, words: Iterable[str], line: int) -> Iterator[Problem]:
    """Yield one problem if the text begins with one of the words."""
    for word in words:
        if re.match(rf'{word}\b', text) is not None:
            yield line, f'a docstring begins with "{word}"'


def long_lines_of_page(text: str) -> Iterator[Problem]:
    """Yield the long lines of a page's paragraphs and lists."""
    block: int | None = None
    is_table = False
    for number, line in enumerate(text.splitlines(), 1):
        indent = len(line) - len(line.lstrip())
        if line.strip() and block is not None and indent <= block:
            block = None
        is_table = bool(line.strip() and (is_table or _TABLE_BORDER.match(line)))
        is_prose = block is None and not is_table and not _TABLE_LINE.match(line)
        if is_prose and is_too_long(line):
            yield number, too_long(line)
        if block is None and _DIRECTIVE_LINE.search(line.strip()):
            block = indent


def is_too_long(line: str) -> bool:
    """Return whether a line is over the limit, and could be broken."""
    return len(line) > MAX_COLUMNS and not _LINK.search(line)


def too_long(line: str) -> str:
    """Return the description of a line that is too long."""
    return f'a line of prose has {len(line)} columns, more than {MAX_COLUMNS}'


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
