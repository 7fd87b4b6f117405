"""Link names in the text to where they are described: an extension of Sphinx.

The pages write public names and files as they are, in double backticks. A name that the
reference has, such as ``broadcast`` or ``ws.send(message)``, gets a link to it, once in
each section; so does a page of the manual, such as ``docs/api.rst``; and a file of the
repository, such as ``examples/feed.py``, once ``url`` in ``setup.cfg`` has its address.
"""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

# Variables of the examples, and the classes of what they hold.
VARIABLES = {
    'ws': ('WebSocket', 'Client'),
    'es': ('EventSource', 'WebSocket'),
    'channels': ('channels.Channels',),
    'metrics': ('metrics',),
}
_NAME = re.compile(r'(?:(\w+)\.)?(\w+)(\(.*\))?', re.DOTALL)
_PAGE = re.compile(r'docs/([\w-]+)\.rst')
_FILE = re.compile(r'(?:benchmarks|examples|faye_websocket|tests|tools)/[\w./-]+\w')


def full_name(text: str, names: Container[str]) -> str | None:
    """Return the name in the reference that a text means, or None."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    variable, name = match[1], match[2]
    owners = VARIABLES.get(variable, (variable,)) if variable else ('',)
    for owner in owners:
        found = '.'.join(filter(None, ('faye_websocket', owner, name)))
        if found in names:
            return found
    return None


def address_of(app: Any, text: str, page: str) -> str | None:
    """Return the address to which a text on a page is linked, or None."""
    objects = app.env.domains['py'].objects
    name = full_name(text, objects)
    # A lone word such as "extensions" is an option, and not the module of this name.
    if name and (objects[name].objtype != 'module' or '.' in text):
        found = objects[name]
        is_here = found.docname == page
        start = '' if is_here else app.builder.get_relative_uri(page, found.docname)
        return f'{start}#{found.node_id}'
    if (match := _PAGE.fullmatch(text)) and match[1] in app.env.found_docs:
        return str(app.builder.get_relative_uri(page, match[1]))
    repository = app.config.html_theme_options.get('source_repository')
    if repository and _FILE.fullmatch(text) and (ROOT / text).is_file():
        return f'{repository.rstrip("/")}/blob/main/{text}'
    return None


def add_links(app: Any, doctree: Any, page: str) -> None:
    """Link the names of a page, each once in a section."""
    from docutils import nodes

    linked = set()
    for literal in list(doctree.findall(nodes.literal)):
        section = literal.parent
        while section is not None and not isinstance(section, nodes.section):
            if isinstance(section, nodes.reference | nodes.title):
                break
            section = section.parent
        if not isinstance(section, nodes.section):
            continue
        address = address_of(app, literal.astext(), page)
        if address and (id(section), address) not in linked:
            linked.add((id(section), address))
            is_internal = '://' not in address
            reference = nodes.reference('', '', refuri=address, internal=is_internal)
            literal.replace_self(reference)
            reference += literal


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.connect('doctree-resolved', add_links)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
