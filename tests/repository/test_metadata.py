"""The versions that the package claims, compared with what is built and tested."""

from __future__ import annotations

import re
from configparser import ConfigParser

from tests.support.processes import ROOT


def read(name: str) -> ConfigParser:
    """Return a file of settings."""
    settings = ConfigParser(interpolation=None)
    settings.read(ROOT / name)
    return settings


SETUP, TOX = read('setup.cfg'), read('tox.ini')
#: The minor versions of Python 3 that the package claims.
CLAIMED = re.findall(r'Python :: 3\.(\d+)', SETUP['metadata']['classifiers'])


def versions(text: str, operator: str) -> dict[str, str]:
    """Return the versions of a list of requirements that has this operator."""
    return dict(re.findall(rf'^([\w-]+)(?:\[\w+\])?{operator}([\d.]+)$', text, re.MULTILINE))


def is_pinned(lowest: str, pinned: str) -> bool:
    """Return whether a pin is the lowest version, which may be written shorter."""
    return pinned == lowest or re.fullmatch(re.escape(lowest) + r'(\.0)+', pinned) is not None


def test_the_environment_of_the_lowest_versions_has_the_bounds_of_the_package() -> None:
    extras = {name: text for name, text in SETUP['options.extras_require'].items() if name != 'test'}
    lowest = versions('\n'.join([SETUP['options']['install_requires'], *extras.values()]), '>=')
    pinned = versions(TOX['testenv:lowest']['deps'], '==')
    assert len(lowest) == 1 + len(extras)
    assert not {name for name in lowest if not is_pinned(lowest[name], pinned.get(name, ''))}


def test_every_python_that_is_claimed_is_tested_and_built() -> None:
    minors = ''.join(f'py3{minor}, ' for minor in CLAIMED)
    assert TOX['tox']['env_list'].startswith(minors)
    assert f'>=3.{CLAIMED[0]}' == SETUP['options']['python_requires']
    workflow = (ROOT / '.github' / 'workflows' / 'tests.yml').read_text()
    assert re.findall(r'"3\.(\d+)"', workflow.partition('matrix:')[2].partition('steps:')[0]) == CLAIMED
    wheels = ','.join(minor.removeprefix('1') for minor in CLAIMED)
    assert f'build = "cp31{{{wheels}}}-*"' in (ROOT / 'pyproject.toml').read_text()
