"""Django: events are published when the transaction is committed.

Run it with: faye-websocket serve examples.django_feed:app

Over several workers:

    FEED_URL=redis://localhost gunicorn -k gevent -w 4 examples.django_feed:app

    faye-websocket connect ws://127.0.0.1:9292/orders
    curl -d 'tea' http://127.0.0.1:9292/

A management command, or a task of Celery, publishes in the same way: it needs no
sockets.
"""

import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import IntegrityError, connection, transaction
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from faye_websocket import WebSocket
from faye_websocket.channels import Channels, envelope
from faye_websocket.django import SocketResponse

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=['localhost', '127.0.0.1'],
    DATABASES={
        'default': {
            'ENGINE': 'django.db.backends.sqlite3',
            'NAME': os.environ.get('FEED_DATABASE', 'feed.sqlite3'),
        }
    },
)
django.setup()
# Each client gets the id of each message, and reconnects with the last:
# /orders?since=ID
channels = Channels(os.environ.get('FEED_URL', 'memory://'), encode=envelope)


@csrf_exempt
def order(request):
    """Store an order, and publish it if, and only if, it was stored."""
    text = request.body.decode()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                'CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, text TEXT UNIQUE)'
            )
            cursor.execute('INSERT INTO orders (text) VALUES (%s)', [text])
            # With the key, a second attempt publishes no second message.
            key = f'order/{cursor.lastrowid}'
            transaction.on_commit(lambda: channels.publish('orders', text, key=key))
    except IntegrityError:
        return HttpResponse('there is one\n', status=409)
    return HttpResponse(f'{key}\n', status=201)


def orders(request):
    ws = WebSocket(request.META, ping=25, allowed_origins='same-origin')
    channels.join(ws, 'orders', since=request.GET.get('since'), recent=10)
    return SocketResponse(ws)


urlpatterns = [path('', order), path('orders', orders)]
app = get_wsgi_application()
