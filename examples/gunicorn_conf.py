"""A configuration of gunicorn for WebSockets.

Run it with: gunicorn -c examples/gunicorn_conf.py examples.app:app
"""

from faye_websocket import metrics

# This runs in the master, before it forks: the workers share their counters, for the
# page of examples/metrics.py.
metrics.share()

bind = '127.0.0.1:9292'
worker_class = 'gevent'
accesslog = '-'

# A WebSocket leaves gunicorn at its handshake, so that these limits apply only to plain
# requests.
worker_connections = 1000
graceful_timeout = 30

# A worker whose event loop is blocked for so many seconds, by code that does not use
# gevent, is killed with all its sockets.
timeout = 30
