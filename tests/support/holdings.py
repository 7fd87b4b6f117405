"""The objects of a process that belong to connections.

They are descriptors, greenlets, watchers and timers of gevent, and objects of this
library. The counts do not rely on the code under test: descriptors are those that the
kernel lists, and everything else is found alive by the garbage collector.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from typing import Any

import gevent
from greenlet import greenlet

#: The classes of the package with at least one instance for each connection.
OURS = ('Connection', 'Stream', 'Keepalive', 'Dispatcher', 'WebSocket', 'Client', 'EventSource')

Census = dict[str, int]


def take_census() -> Census:
    """Count all objects, dead or alive, after collecting garbage."""
    gc.collect()
    counts = {'descriptors': count_descriptors(), 'greenlets': 0, 'timers': 0, 'watchers': 0, **dict.fromkeys(OURS, 0)}
    timer, watcher = watcher_classes()
    for kind, count in Counter(map(type, gc.get_objects())).items():
        if issubclass(kind, greenlet):
            counts['greenlets'] += count
        elif issubclass(kind, timer):
            counts['timers'] += count
        elif issubclass(kind, watcher):
            counts['watchers'] += count
        elif kind.__name__ in OURS and str(kind.__module__).startswith('faye_websocket'):
            counts[kind.__name__] += count
    return counts


def count_living() -> Census:
    """Count descriptors, living greenlets, and active timers and watchers.

    No garbage is collected.
    """
    timer, watcher = watcher_classes()
    things: list[Any] = gc.get_objects()
    greenlets = {kind for kind in set(map(type, things)) if issubclass(kind, greenlet)}
    watchers = {kind for kind in set(map(type, things)) if issubclass(kind, watcher) and kind is not timer}
    return {
        'descriptors': count_descriptors(),
        'greenlets': sum(not thing.dead for thing in things if type(thing) in greenlets),
        'timers': sum(thing.active for thing in things if type(thing) is timer),
        'watchers': sum(thing.active for thing in things if type(thing) in watchers)}


def count_descriptors() -> int:
    """Count the descriptors that the kernel lists for this process."""
    return len(os.listdir('/proc/self/fd'))


def watcher_classes() -> tuple[type[Any], type[Any]]:
    """Return gevent's class of timers, and the class of all watchers."""
    timer = gevent.get_hub().loop.timer(0)
    # libuv would go on using the memory of a timer that is not closed.
    timer.close()
    return type(timer), type(timer).__mro__[-2]


def difference(before: Census, after: Census) -> Census:
    """Return the counts that differ, with the difference."""
    return {name: count - before[name] for name, count in after.items() if count != before[name]}
