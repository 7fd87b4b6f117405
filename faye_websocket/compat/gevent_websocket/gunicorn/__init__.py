"""``geventwebsocket.gunicorn``."""
