"""Flask and SQLAlchemy: events are published when the transaction is committed.

Run it with: faye-websocket serve examples.flask_feed:app

Over several workers:

    FEED_URL=redis://localhost gunicorn -k gevent -w 4 examples.flask_feed:app

    curl -N -H 'Accept: text/event-stream' http://127.0.0.1:9292/orders
    curl -d 'tea' http://127.0.0.1:9292/
"""

import os

from flask import Flask, request
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from faye_websocket import EventSource
from faye_websocket.channels import Channels

engine = create_engine(f'sqlite:///{os.environ.get("FEED_DATABASE", "feed.sqlite3")}')
channels = Channels(os.environ.get('FEED_URL', 'memory://'))
app = Flask(__name__)


@event.listens_for(Session, 'after_commit')
def publish(session):
    """Publish the events that were kept until the end of the transaction."""
    for news in session.info.pop('news', ()):
        channels.publish('orders', news)


@event.listens_for(Session, 'after_rollback')
def forget(session):
    session.info.pop('news', None)


@app.post('/')
def order():
    news = request.get_data(as_text=True)
    try:
        with Session(engine) as session, session.begin():
            session.execute(
                text('CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, text TEXT UNIQUE)')
            )
            session.execute(text('INSERT INTO orders (text) VALUES (:text)'), {'text': news})
            session.info.setdefault('news', []).append(news)
    except IntegrityError:
        return 'there is one\n', 409
    return 'kept\n', 201


@app.get('/orders')
def orders():
    es = EventSource(request.environ, ping=15)
    channels.join(es, 'orders', recent=10)
    return es
