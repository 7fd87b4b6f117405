"""gunicorn for WebSockets. Run it with: gunicorn -c examples/gunicorn_conf.py examples.app:app"""

bind = '127.0.0.1:9292'
worker_class = 'gevent'
accesslog = '-'

# A WebSocket leaves gunicorn's hands at its handshake, so it counts for none of these: they are about plain requests.
worker_connections = 1000
graceful_timeout = 30

# A worker whose loop stands still for so long, because something in it blocks without gevent, is killed with all its sockets.
timeout = 30
