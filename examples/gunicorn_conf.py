"""gunicorn for WebSockets. Run it with: gunicorn -c examples/gunicorn_conf.py examples.app:app"""

bind = '127.0.0.1:9292'
worker_class = 'gevent'
accesslog = '-'

# A WebSocket leaves gunicorn's hands at its handshake, so it counts for none of these: they are about plain requests.
worker_connections = 1000
timeout = 30
graceful_timeout = 30
