"""An echo server with metrics for Prometheus at /metrics.

Run it with: faye-websocket serve examples.metrics:app

Under gunicorn: gunicorn -k gevent examples.metrics:app

It needs prometheus-client. The counters are those of one process: if gunicorn has
several workers, let each of them serve its metrics on a port of its own.
"""

from prometheus_client import REGISTRY, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from faye_websocket import WebSocket, metrics

counters = metrics.enable()
report = make_wsgi_app()

COUNTERS = [
    ('opened', 'opened', 'Handshakes that succeeded'),
    ('failed', 'failed', 'Handshakes that failed without an HTTP error'),
    ('messages_received', 'received_messages', 'Messages delivered to the application'),
    ('messages_sent', 'sent_messages', 'Messages that send() accepted'),
    ('bytes_received', 'received_bytes', 'Bytes received'),
    ('bytes_sent', 'sent_bytes', 'Bytes that the kernel accepted'),
    ('dropped', 'dropped_messages', 'Messages dropped by overflow=drop'),
    ('handler_errors', 'handler_errors', 'Exceptions raised by handlers'),
]
BY_LABEL = [
    ('closed', 'code', 'Sockets that were open and are closed'),
    ('refused', 'status', 'Handshakes refused with an HTTP error'),
]


class Collector:
    """A collector that reads the counters whenever Prometheus asks for them."""

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
