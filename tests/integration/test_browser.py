"""Headless Chromium with WebSockets and event sources."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration import browser as browsers
from tests.integration.browser import chromium, text_of, wait_for_text
from tests.support.certificates import Certificate, session_certificate
from tests.support.processes import Endpoint
from tests.support.proxies import nginx
from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

APP = 'tests.support.sources:app'

#: Functions for every script, which is called with a URL, and with `done` for its
#: result.
PRELUDE = """
    const [url, ...rest] = arguments;
    const done = rest.pop();
    const next = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve, {once: true}));
"""

CONVERSATION = PRELUDE + """
    (async () => {
        const seen = {};
        const socket = new WebSocket(url, ['other', 'chat']);
        await next(socket, 'open');
        seen.protocol = socket.protocol;
        seen.extensions = socket.extensions;
        const echo = async (data) => { socket.send(data); return (await next(socket, 'message')).data; };
        seen.text = await echo('h\\u00e9llo \\u2603 \\u{1f600}');
        seen.empty = await echo('');
        const large = 'x\\u2603'.repeat(262144);
        seen.large = (await echo(large)) === large;
        const bytes = Uint8Array.from({length: 256}, (_, index) => index);
        const megabyte = new Uint8Array(2 ** 20).map((_, index) => index * 7 + (index >> 8));
        socket.binaryType = 'arraybuffer';
        seen.buffer = [...new Uint8Array(await echo(bytes.buffer))].join();
        seen.emptyBuffer = (await echo(new ArrayBuffer(0))).byteLength;
        const back = new Uint8Array(await echo(megabyte));
        seen.megabyte = back.length === megabyte.length && back.every((byte, index) => byte === megabyte[index]);
        socket.binaryType = 'blob';
        const blob = await echo(new Blob([bytes]));
        seen.blob = blob instanceof Blob && [...new Uint8Array(await blob.arrayBuffer())].join();
        seen.emptyBlob = (await echo(new Blob([]))).size;
        socket.send('close 3001 enough');
        const closed = await next(socket, 'close');
        seen.closed = [closed.code, closed.reason, closed.wasClean];
        const second = new WebSocket(url);
        await next(second, 'open');
        seen.second = second.protocol;
        second.close(4000, 'bye \\u2603');
        const ours = await next(second, 'close');
        seen.closedHere = [ours.code, ours.reason, ours.wasClean];
        const third = new WebSocket(url);
        await next(third, 'open');
        third.close();
        seen.withoutCode = (await next(third, 'close')).code;
        done(seen);
    })().catch((error) => done(String(error)));
"""

BYTES = ','.join(map(str, range(256)))

CONVERSED = {
    'protocol': 'chat', 'text': 'h\xe9llo \u2603 \U0001f600', 'empty': '', 'large': True, 'buffer': BYTES, 'emptyBuffer': 0,
    'megabyte': True, 'blob': BYTES, 'emptyBlob': 0, 'closed': [3001, 'enough', True], 'second': '',
    'closedHere': [4000, '', True], 'withoutCode': 1005}

#: A script that listens until this many events have come, and returns them and every
#: end of the stream.
LISTENING = PRELUDE + """
    const [types, count] = rest;
    const events = [], times = [];
    const source = new EventSource(url);
    source.onopen = () => times.push(['open', performance.now()]);
    source.onerror = () => {
        times.push(['error', performance.now()]);
        if (source.readyState === EventSource.CLOSED) done({events, times, state: source.readyState});
    };
    for (const type of types) source.addEventListener(type, (event) => {
        events.push([event.type, event.data, event.lastEventId]);
        if (events.length === count) { source.close(); done({events, times, state: source.readyState}); }
    });
"""


@contextmanager
def serving(kind: str, tmp_path: Path, **options: Any) -> Iterator[Server]:
    """Serve the application under one server.

    When it stops, gunicorn would wait long for the idle connections of the browser.
    """
    graceful = () if kind == 'pywsgi' else ('--graceful-timeout', '1')
    with serve(kind, options.pop('app', APP), tmp_path=tmp_path, options=graceful, **options) as server:
        yield server


@pytest.fixture(scope='module')
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser for all tests that need no special options."""
    with chromium(tmp_path_factory.mktemp('browser')) as started:
        yield started


@pytest.fixture(scope='module', params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each server on gevent."""
    with serving(request.param, tmp_path_factory.mktemp('server')) as started:
        yield started


def converse(browser: Chrome, endpoint: Endpoint, server: Server, path: str) -> None:
    """Check what a page can do with a WebSocket, and the application's events."""
    browser.get(f'{endpoint.http_url}/')
    seen = browser.execute_async_script(CONVERSATION, endpoint.ws_url(path))
    assert isinstance(seen, dict), seen
    assert seen.pop('extensions').startswith('permessage-deflate')
    assert seen == CONVERSED
    # The page may receive the close event before the application does.
    wait_until(lambda: len(server.events(path, 'close')) == 3, 'three ends')
    closed = [(event['code'], event['reason'], event['was_clean']) for event in server.events(path, 'close')]
    assert closed == [(3001, 'enough', True), (4000, 'bye \u2603', True), (1005, '', True)]


class TestWebSocket:
    """A page with a WebSocket: messages, subprotocol, compression and closing."""

    @pytest.mark.proves('D3')
    def test_a_page_converses(self, browser: Chrome, server: Server) -> None:
        converse(browser, server, server, '/plain')

    def test_a_page_behind_nginx_converses(self, browser: Chrome, server: Server, tmp_path: Path) -> None:
        with nginx(server, tmp_path) as proxy:
            converse(browser, proxy, server, '/nginx')

    @pytest.mark.parametrize('kind', SERVERS)
    def test_a_page_converses_over_tls_with_the_certificate_it_trusts(
            self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        trust(monkeypatch, f'--ignore-certificate-errors-spki-list={pin_of(session_certificate())}')
        with serving(kind, tmp_path, tls=True) as server, chromium(tmp_path) as browser:
            converse(browser, server, server, '/tls')

    def test_a_browser_refuses_an_unknown_certificate(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        trust(monkeypatch)
        with serving('pywsgi', tmp_path, tls=True) as server, chromium(tmp_path) as browser:
            browser.get(f'{server.http_url}/untrusted')
            assert 'ERR_CERT_AUTHORITY_INVALID' in browser.page_source
            assert server.requests('/untrusted') == []


def trust(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    """Start browsers that verify certificates, with these additional flags."""
    others = tuple(flag for flag in browsers.FLAGS if flag != '--ignore-certificate-errors')
    monkeypatch.setattr(browsers, 'FLAGS', (*others, *flags))


def pin_of(certificate: Certificate) -> str:
    """Return the hash of the public key in Chromium's form (RFC 7469, 2.4)."""
    key = subprocess.run(['openssl', 'x509', '-in', certificate.certfile, '-pubkey', '-noout'], check=True, capture_output=True,
                         timeout=20).stdout
    der = subprocess.run(['openssl', 'pkey', '-pubin', '-outform', 'der'], input=key, check=True, capture_output=True,
                         timeout=20).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def listen(browser: Chrome, endpoint: Endpoint, path: str, count: int, types: tuple[str, ...] = ('message',)) -> dict[str, Any]:
    """Return the events that a page receives."""
    browser.get(f'{endpoint.http_url}/')
    heard = browser.execute_async_script(LISTENING, f'{endpoint.http_url}{path}', types, count)
    assert isinstance(heard, dict), heard
    return heard


def gaps(heard: dict[str, Any]) -> list[float]:
    """Return the seconds between each loss of the stream and the next connection."""
    times = heard['times']
    return [(later - earlier) / 1000 for (type, earlier), (following, later) in zip(times, times[1:], strict=False)
            if (type, following) == ('error', 'open')]


class TestEventSource:
    """A page with an event source."""

    @pytest.mark.proves('E1')
    def test_a_page_receives_each_kind_of_event(self, browser: Chrome, server: Server) -> None:
        heard = listen(browser, server, '/kinds', 4, ('message', 'news'))
        assert heard['events'] == [
            ['message', 'plain', ''], ['message', '', '\xfc\u2603'], ['news', 'two\nlines\n  and a blank', '\xfc\u2603'],
            ['news', '<b>\u2028 \U0001f600', '2']]
        server.wait_for_event('/kinds', 'close', 1.0)

    @pytest.mark.proves('E5')
    def test_a_page_receives_missed_events_after_a_loss(self, browser: Chrome, server: Server) -> None:
        heard = listen(browser, server, '/feed?retry=0.05', 9)
        assert heard['events'] == [['message', str(number), str(number)] for number in range(1, 10)]
        assert [type for type, _ in heard['times']] == ['open', 'error'] * 2 + ['open']

    @pytest.mark.proves('E3', 'E5')
    def test_a_page_behind_nginx_receives_missed_events(
            self, browser: Chrome, server: Server, tmp_path: Path) -> None:
        with nginx(server, tmp_path) as proxy:
            heard = listen(browser, proxy, '/feed-nginx?retry=0.05', 9)
        assert heard['events'] == [['message', str(number), str(number)] for number in range(1, 10)]

    @pytest.mark.proves('E5')
    @pytest.mark.parametrize(('retry', 'shortest', 'longest'), [(0.05, 0.05, 1.0), (1.5, 1.5, 3.0)])
    def test_a_page_waits_for_the_retry_time_of_the_stream(
            self, browser: Chrome, server: Server, retry: float, shortest: float, longest: float) -> None:
        # Without this instruction a browser waits for 3 seconds.
        heard = listen(browser, server, f'/feed?retry={retry}', 4)
        assert all(shortest * 0.9 <= gap < longest for gap in gaps(heard)), gaps(heard)
        assert len(gaps(heard)) == 1

    @pytest.mark.proves('E5')
    def test_204_stops_a_page(self, browser: Chrome, server: Server) -> None:
        heard = listen(browser, server, '/gone?retry=0.05', 100)
        assert heard['state'] == 2
        assert [data for _, data, _ in heard['events']] == ['1', '2', '3']
        # The page knows before the line is in the log.
        wait_until(
            lambda: [status for _, status in server.requests('/gone?retry=0.05')] == ['200', '204'], 'the line of the log')


@pytest.mark.parametrize('kind', SERVERS)
def test_the_page_of_the_example_shows_events(kind: str, browser: Chrome, tmp_path: Path) -> None:
    with serving(kind, tmp_path, app='examples.app:app') as server:
        browser.get(f'{server.http_url}/events')
        wait_for_text(browser, '#status', 'open')
        wait_for_text(browser, '#log', 'tick Time: 2 id 2')
        assert text_of(browser, '#log li:first-child') == 'message Welcome!\n\nThis is an EventSource server.'
    wait_for_text(browser, '#status', 'connecting again')


def test_the_tabs_of_the_example_talk_and_come_back(tmp_path: Path) -> None:
    with chromium(tmp_path) as browser, socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
        free.close()
        options = ('--bind', f'127.0.0.1:{port}')
        tabs = [browser.current_window_handle]
        with serve('pywsgi', 'examples.app:app', tmp_path=tmp_path, options=options) as server:
            browser.get(f'{server.http_url}/')
            wait_for_text(browser, '#here', 'only this tab is here')
            browser.switch_to.new_window('tab')
            browser.get(f'{server.http_url}/')
            tabs.append(browser.current_window_handle)
            say(browser, 'hello')
            wait_for_text(browser, '.mine.back', 'hello\nyou, and back in ')
            browser.switch_to.window(tabs[0])
            wait_for_text(browser, '.theirs', 'hello\n')
            wait_for_text(browser, '#here', '2 tabs are here')
            assert browser.get_log('browser') == []
            # A page that is left takes its socket with it.
            browser.get(f'{server.http_url}/events')
            wait_for_text(browser, '#status', 'open')
            browser.switch_to.window(tabs[1])
            wait_for_text(browser, '#here', 'only this tab is here')
        wait_for_text(browser, '#status', 'next attempt in')
        assert not browser.find_element('css selector', '#send').is_enabled()
        browser.find_element('css selector', '#message').send_keys('lost\n')
        with serve('pywsgi', 'examples.app:app', tmp_path=tmp_path, options=options):
            wait_until(lambda: press(browser, '#again') or text_of(browser, '#status') == 'open', 'the way back')
            browser.find_element('css selector', '#message').clear()
            say(browser, 'again')
            wait_for_text(browser, '.mine.back:last-child', 'again')
        # The browser itself logs each attempt that was refused.
        assert [entry for entry in browser.get_log('browser') if 'ERR_CONNECTION_REFUSED' not in entry['message']] == []


def say(browser: Chrome, text: str) -> None:
    """Type a message on the page of the example, once it can be sent, and send it."""
    wait_for_text(browser, '#status', 'open')
    browser.find_element('css selector', '#message').send_keys(text)
    browser.find_element('css selector', '#send').click()


def press(browser: Chrome, selector: str) -> None:
    """Press a button, unless it is hidden."""
    browser.execute_script('const button = document.querySelector(arguments[0]); button.hidden || button.click()', selector)


@pytest.mark.proves('E5')
def test_a_page_follows_the_feed_of_the_example_over_a_loss(browser: Chrome, tmp_path: Path) -> None:
    with serving('pywsgi', tmp_path, app='examples.feed:app') as server:
        browser.get(f'{server.http_url}/')
        browser.execute_script(
            "window.heard = []; window.source = new EventSource('/');"
            "source.onmessage = (event) => heard.push([event.data, event.lastEventId]);")
        wait_until(lambda: browser.execute_script('return source.readyState') == 1, 'an open stream')
        browser.execute_async_script("fetch('/', {method: 'POST', body: 'one'}).then(arguments[0])")
        wait_until(lambda: browser.execute_script('return heard.length') == 1, 'an event')
        (text, id), = json.loads(browser.execute_script('return JSON.stringify(heard)'))
        assert text == 'one'
        assert id
