"""Configuration of Sphinx: ``tox run -e docs`` builds pages and checks their links."""

from __future__ import annotations

import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'docs')]

from faye_websocket import __version__  # noqa: E402

project = 'faye_websocket'
author = 'the authors of faye_websocket'
version = release = __version__
language = 'en'

extensions = ['sphinx.ext.autodoc', 'sphinx_copybutton', 'name_links']
exclude_patterns = ['_build']
# Code is shown as it is written.
highlight_language = 'none'
smartquotes = False

autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
python_maximum_signature_line_length = 80

nitpicky = True
# In annotations: what is not ours to document, and what is behind the public names.
nitpick_ignore_regex = [('py:(class|data|obj|exc)', r'(?!faye_websocket).*')]
nitpick_ignore = [
    ('py:class', 'faye_websocket.api.API'),
    ('py:class', 'faye_websocket.api.Self'),
    ('py:class', 'faye_websocket.metrics.counters.Counting'),
    ('py:class', 'faye_websocket.django.Function'),
    ('py:class', 'faye_websocket.driver.base.ServerIO'),
    ('py:class', 'faye_websocket.driver.base.SharedMessage'),
    ('py:class', 'faye_websocket.driver.writer.IO'),
    ('py:class', 'faye_websocket.driver.client.ClientIO'),
    ('py:class', 'faye_websocket.driver.emitter.EventEmitter'),
    ('py:class', 'faye_websocket.driver.hybi.Hybi'),
]

html_theme = 'furo'
html_static_path = ['_static']
html_css_files = ['manual.css']
# The address of the public repository has one place, setup.cfg, and is empty until
# there is one. With it each page has links to its source.
_settings = ConfigParser()
_settings.read(ROOT / 'setup.cfg')
if _repository := _settings['metadata']['url']:
    html_theme_options = {
        'source_repository': _repository,
        'source_branch': 'main',
        'source_directory': 'docs/',
    }
html_title = f'faye_websocket {__version__}'
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
