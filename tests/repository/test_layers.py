"""The direction of imports: a module imports only what stands below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT

PACKAGE = ROOT / 'faye_websocket'
#: From the bottom to the top. A folder stands for all its modules, which may import one
#: another; a file of the top level is named by itself.
LAYERS: list[set[str]] = [
    {'errors', 'version', 'compiled', 'calls', '_calls', 'py.typed'},
    {'http'},
    {'extensions'},
    {'driver'},
    {'events'},
    {'io'},
    {'servers'},
    {'eventsource', 'api'},
    {'broadcast', 'client'},
    {'websocket'},
    {'django', 'metrics', 'middleware', 'testing'},
    {'channels', 'pytest'},
    {'compat'},
    {'cli'},
    {'__main__', '__init__'},
]
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}


def layer_of(path: Path) -> str:
    """Return the name in LAYERS of a module."""
    return path.relative_to(PACKAGE).parts[0].partition('.')[0]


def imports_of(path: Path) -> Iterator[str]:
    """Yield the layers that a module imports, `cimport` included."""
    text = path.read_text().replace(' cimport ', ' import ')
    tree = ast.parse('\n'.join(
        line for line in text.splitlines()
        if path.suffix == '.py' or line.startswith('from .')))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from resolve(path, node)


def resolve(path: Path, node: ast.ImportFrom) -> Iterator[str]:
    """Yield the layers that one statement names."""
    if not node.level:
        names = (node.module or '').split('.')
        if names[0] == 'faye_websocket':
            yield from [names[1]] if names[1:] else (alias.name for alias in node.names)
        return
    folder = path.parents[node.level - 1]
    if node.module:
        folder = folder.joinpath(*node.module.split('.'))
        yield folder.relative_to(PACKAGE).parts[0]
    else:
        for alias in node.names:
            yield folder.joinpath(alias.name).relative_to(PACKAGE).parts[0]


MODULES = sorted(path for path in PACKAGE.rglob('*') if path.suffix in ('.py', '.pxd', '.pyx'))


@pytest.mark.parametrize('path', MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_lower_layers(path: Path) -> None:
    own = layer_of(path)
    wrong = [name for name in imports_of(path) if name != own and LEVELS[name] >= LEVELS[own]]
    assert wrong == []


def test_imports_are_resolved_to_their_layers(tmp_path: Path) -> None:
    path = PACKAGE / 'io' / 'x.py'
    text = 'from ..servers.hijack import hijack\nfrom .. import client, errors\nfrom . import owner\nimport os'
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]
    assert [[*resolve(path, node)] for node in nodes] == [['servers'], ['client', 'errors'], ['io']]
