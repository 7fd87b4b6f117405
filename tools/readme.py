"""The README for a package index, which has none of the other files.

    python tools/readme.py [URL]

``setup.py`` makes the long description of the package by it. Without an argument the
URL is that of the repository in ``setup.cfg``.
"""

from __future__ import annotations

import re
import sys
from configparser import ConfigParser
from pathlib import Path

__all__ = ['readme', 'repository']

ROOT = Path(__file__).resolve().parent.parent

# A link to a file, and the chart. In the repository both are relative.
_LINK = re.compile(r'^\.\. _(.+): *(?:\n +)?((?!https?:)\S+)\n', re.MULTILINE)
_IMAGE = re.compile(r'^\.\. image:: (\S+)\n((?:   .*\n)*)', re.MULTILINE)


def repository() -> str:
    """Return the address of the public repository, or ``''`` if there is none yet."""
    settings = ConfigParser()
    settings.read(ROOT / 'setup.cfg')
    return settings['metadata']['url'].rstrip('/')


def readme(url: str) -> str:
    """Return the README with links to the repository at ``url``.

    Without a ``url`` the links become text, and the chart is left out.
    """
    text = (ROOT / 'README.rst').read_text()
    if url:
        text = _LINK.sub(rf'.. _\1: {url}/blob/main/\2\n', text)
        return _IMAGE.sub(rf'.. image:: {url}/raw/main/\1\n\2', text)
    text = re.sub('`([^`]+)`_', r'\1', _LINK.sub('', text))
    return _IMAGE.sub('', text)


if __name__ == '__main__':
    print(readme(sys.argv[1] if len(sys.argv) > 1 else repository()), end='')
