"""simple-websocket under one gunicorn worker of class gevent: a loop in the view.

The program is that of its documentation. gunicorn's listener sets TCP_NODELAY for the
sockets that it accepts.
"""

from __future__ import annotations

from typing import Any

from gunicorn.app.base import BaseApplication
from options import read_options
from simple_websocket import ConnectionClosed, Server


def app(environ: dict[str, Any], start_response: Any) -> Any:
    """Send every message back as it came."""
    ws = Server.accept(environ)
    try:
        while True:
            ws.send(ws.receive())
    except ConnectionClosed:
        # Tell gunicorn that the socket is not its own any more.
        raise StopIteration from None


class Gunicorn(BaseApplication):
    """gunicorn without a command line of its own."""

    def load_config(self) -> None:
        """Set what its command line would."""
        settings = {'bind': f'127.0.0.1:{read_options().port}', 'worker_class': 'gevent', 'worker_connections': 20000,
                    'loglevel': 'critical'}
        # Since 25.1; it would lie in the user's home.
        if 'control_socket_disable' in self.cfg.settings:
            settings['control_socket_disable'] = True
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Return the application."""
        return app


if __name__ == '__main__':
    Gunicorn().run()
