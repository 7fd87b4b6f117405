"""Find dead links between pages built by Sphinx: ``python docs/check_links.py
DIRECTORY [--external]``.

A link is dead if its file does not exist, or if no element of the file has the name
after its ``#``. Links to other sites are not checked; ``--external`` lists them. The
exit status is 1 if there is a dead link.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page, and the names that can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        # "#" and "#top" lead to the beginning of every page.
        self.names = {'', 'top'}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the link or the name of an element."""
        for name, value in attrs:
            if name in ('href', 'src'):
                self.links.append(value or '')
            elif name == 'id' or (name == 'name' and tag == 'a'):
                self.names.add(value or '')


@cache
def read(path: Path) -> Page:
    """Return a page, which is parsed once."""
    return Page(path.read_text())


def dead_links(directory: Path) -> Iterator[str]:
    """Yield each dead link of each page, as text."""
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


def external_links(directory: Path) -> list[str]:
    """Return the addresses of other sites, each once."""
    pages = [read(path) for path in directory.rglob('*.html')]
    return sorted({link for page in pages for link in page.links if urlsplit(link).netloc})


def main(directory: str, *options: str) -> int:
    """Print the dead links, and return the exit status."""
    dead = list(dead_links(Path(directory)))
    if '--external' in options:
        print('\n'.join(external_links(Path(directory))))
    pages = len(list(Path(directory).rglob('*.html')))
    print('\n'.join([*dead, f'{pages} pages, {len(dead)} dead links']))
    return 1 if dead or not pages else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
