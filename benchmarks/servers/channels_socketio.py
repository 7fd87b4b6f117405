"""Flask-SocketIO with its Redis queue, on gevent."""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402
import sys  # noqa: E402

from flask import Flask  # noqa: E402
from flask_socketio import SocketIO  # noqa: E402

app = Flask(__name__)
socketio = SocketIO(app, message_queue=os.environ['BENCHMARK_REDIS'], async_mode='gevent', ping_interval=300)

if __name__ == '__main__':
    socketio.run(app, host='127.0.0.1', port=int(sys.argv[1]))
