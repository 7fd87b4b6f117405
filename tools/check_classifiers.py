"""Check that every classifier of a setup.cfg is known; an index refuses unknown ones.

This needs the newest version of the package ``trove-classifiers``.
"""

from __future__ import annotations

import sys
from configparser import ConfigParser

from trove_classifiers import classifiers, deprecated_classifiers


def find_faults(path: str) -> list[str]:
    """Return the classifiers that are unknown or deprecated."""
    setup = ConfigParser()
    setup.read(path)
    names = setup['metadata']['classifiers'].split('\n')
    return [
        name
        for name in names
        if name and (name not in classifiers or name in deprecated_classifiers)
    ]


if __name__ == '__main__':
    if faults := find_faults(sys.argv[1]):
        sys.exit(f'no classifiers that an index takes: {faults}')
