"""An echo server, and what Prometheus wants to know of it at /metrics. Run it with: faye-websocket serve examples.metrics:app

Under gunicorn: gunicorn -k gevent examples.metrics:app

Needs prometheus-client. Counters are of one process: give each of several gunicorn workers a port of its own to be asked at.
"""

from prometheus_client import REGISTRY, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from faye_websocket import WebSocket, metrics

counters = metrics.enable()
report = make_wsgi_app()

COUNTERS = [
    ('opened', 'opened', 'Handshakes that succeeded'),
    ('failed', 'failed', 'Handshakes that came to nothing without an HTTP error'),
    ('messages_received', 'received_messages', 'Messages given to the application'),
    ('messages_sent', 'sent_messages', 'Messages that send took'),
    ('bytes_received', 'received_bytes', 'Bytes that came'),
    ('bytes_sent', 'sent_bytes', 'Bytes that the kernel took'),
    ('dropped', 'dropped_messages', 'Messages that overflow=drop dropped'),
    ('handler_errors', 'handler_errors', 'Handlers that raised'),
]
BY_LABEL = [
    ('closed', 'code', 'Sockets that were open and are closed'),
    ('refused', 'status', 'Handshakes answered with an HTTP error'),
]


class Collector:
    """Asks for the counters when it is asked."""

    def collect(self):
        kinds = counters.snapshot()
        gauge = GaugeMetricFamily('websocket_open', 'Sockets that are open', labels=['kind'])
        for kind, values in kinds.items():
            gauge.add_metric([kind], values['open'])
        yield gauge
        for name, metric, text in COUNTERS:
            family = CounterMetricFamily(f'websocket_{metric}', text, labels=['kind'])
            for kind, values in kinds.items():
                family.add_metric([kind], values[name])
            yield family
        for name, label, text in BY_LABEL:
            family = CounterMetricFamily(f'websocket_{name}', text, labels=['kind', label])
            for kind, values in kinds.items():
                for key, count in values[name].items():
                    family.add_metric([kind, str(key)], count)
            yield family


REGISTRY.register(Collector())


def app(environ, start_response):
    if WebSocket.is_websocket(environ):
        ws = WebSocket(environ, ping=30)
        ws.onmessage = lambda event: ws.send(event.data)
        return ws(environ, start_response)

    if environ['PATH_INFO'] == '/metrics':
        return report(environ, start_response)

    start_response('404 Not Found', [('Content-Type', 'text/plain')])
    return [b'There is a WebSocket anywhere, and its metrics are at /metrics.\n']
