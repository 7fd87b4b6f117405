"""A configuration of gunicorn that sends the counters of sockets to StatsD.

Run it with: gunicorn -c examples/deploy/statsd_conf.py -w 4 examples.metrics:app
"""

import gevent

from faye_websocket import close_all, metrics

metrics.share()

bind = '127.0.0.1:9292'
worker_class = 'gevent'
statsd_host = '127.0.0.1:8125'
statsd_prefix = 'shop'

SECONDS = 10
NAMES = ('opened', 'failed', 'messages_received', 'messages_sent', 'bytes_sent', 'dropped')


class Report:
    """The counts that were not sent yet. StatsD adds up those of all workers."""

    def __init__(self, log):
        self.log = log
        self.counters = metrics.enable()
        self.sent = {}

    def send(self):
        for kind, values in self.counters.snapshot().items():
            for name in NAMES:
                metric = f'websocket.{kind}.{name}'
                grown = values[name] - self.sent.get(metric, 0)
                if grown:
                    self.log.increment(metric, grown)
                self.sent[metric] = values[name]
        # A gauge is not added up, so each worker sends that of all.
        for kind, values in self.counters.total().items():
            self.log.gauge(f'websocket.{kind}.open', values['open'])

    def run(self):
        while True:
            gevent.sleep(SECONDS)
            self.send()


def post_worker_init(worker):
    worker.report = Report(worker.log)
    gevent.spawn(worker.report.run)


def worker_exit(server, worker):
    # A worker that never got that far has none.
    if hasattr(worker, 'report'):
        # The sockets, which would be closed at the exit, still belong in the report.
        close_all(timeout=5)
        worker.report.send()
