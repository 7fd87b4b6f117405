"""Finds dead links between the pages that Sphinx has built: ``python docs/check_links.py DIRECTORY``.

A link is dead if there is no file where it leads, or nothing in it has the name behind its ``#``. Links to other sites are left
alone: whether they are dead is not for us to say. The exit status is 1 if there is a dead one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page links to, and the names that can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        # "#" and "#top" lead to the beginning of every page.
        self.names = {'', 'top'}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """HTMLParser's."""
        for name, value in attrs:
            if name in ('href', 'src'):
                self.links.append(value or '')
            elif name == 'id' or (name == 'name' and tag == 'a'):
                self.names.add(value or '')


@cache
def read(path: Path) -> Page:
    """A page, parsed once."""
    return Page(path.read_text())


def dead_links(directory: Path) -> Iterator[str]:
    """Each dead link of each page, as text."""
    for path in sorted(directory.rglob('*.html')):
        for link in read(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path.parent / unquote(parts.path) if parts.path else path
            if target.is_dir():
                target /= 'index.html'
            if not target.is_file():
                yield f'{path.relative_to(directory)}: there is no {link}'
            elif target.suffix == '.html' and unquote(parts.fragment) not in read(target).names:
                yield f'{path.relative_to(directory)}: nothing is called {link}'


def main(directory: str) -> int:
    """Prints what is dead, and returns the exit status."""
    dead = list(dead_links(Path(directory)))
    pages = len(list(Path(directory).rglob('*.html')))
    print('\n'.join([*dead, f'{pages} pages, {len(dead)} dead links']))
    return 1 if dead or not pages else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
