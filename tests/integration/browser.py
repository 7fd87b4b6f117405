"""Headless Chromium, driven through selenium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.programs import require_module, require_program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

#: Options with which Chromium runs as root, in a container, and without the network.
FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-default-apps',
         '--ignore-certificate-errors', '--no-proxy-server')

#: The seconds that a page, or a script in it, may take.
DEADLINE = 20


@contextmanager
def chromium(tmp_path: Path) -> Iterator[Chrome]:
    """Run a browser with its own profile for the time of the block."""
    require_module('selenium', 'pip install selenium')
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = require_program('chromium', 'apt-get install chromium', 'google-chrome')
    for flag in (*FLAGS, f'--user-data-dir={tmp_path / "profile"}'):
        options.add_argument(flag)
    driver = require_program('chromedriver', 'apt-get install chromium-driver')
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    try:
        browser.set_page_load_timeout(DEADLINE)
        browser.set_script_timeout(DEADLINE)
        yield browser
    finally:
        browser.quit()


def text_of(browser: Chrome, selector: str) -> str:
    """Return the text of the first element for a selector, or '' if there is none."""
    found = browser.find_elements('css selector', selector)
    return found[0].text if found else ''


def wait_for_text(browser: Chrome, selector: str, text: str) -> None:
    """Wait until the element shows this text."""
    wait_until(lambda: text in text_of(browser, selector), f'{text!r} in {selector}', DEADLINE)
