"""What a process holds that belongs to connections: descriptors, greenlets, gevent's watchers and timers, and objects of ours.

Nothing is counted by those who are watched: descriptors are those that the kernel lists, everything else is what the garbage
collector finds alive, whoever refers to it.
"""

from __future__ import annotations

import gc
import os
from collections import Counter

import gevent
from greenlet import greenlet

#: The classes of the package of which there is at least one for each connection.
OURS = ('Connection', 'Stream', 'Keepalive', 'Dispatcher', 'WebSocket', 'Client', 'EventSource')

Census = dict[str, int]


def take_census() -> Census:
    """How many of everything there are now, dead or alive, but for garbage, which is collected before."""
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
    """The descriptors, the greenlets that are not dead, and the timers and watchers that are active. Collects nothing."""
    timer, watcher = watcher_classes()
    things = gc.get_objects()
    greenlets = {kind for kind in set(map(type, things)) if issubclass(kind, greenlet)}
    watchers = {kind for kind in set(map(type, things)) if issubclass(kind, watcher) and kind is not timer}
    return {
        'descriptors': count_descriptors(),
        'greenlets': sum(not thing.dead for thing in things if type(thing) in greenlets),
        'timers': sum(thing.active for thing in things if type(thing) is timer),
        'watchers': sum(thing.active for thing in things if type(thing) in watchers)}


def count_descriptors() -> int:
    """How many descriptors the kernel lists for this process."""
    return len(os.listdir('/proc/self/fd'))


def watcher_classes() -> tuple[type, type]:
    """gevent's class of timers, and the class of all watchers."""
    timer = gevent.get_hub().loop.timer(0)
    # libuv goes on to use the memory of one that was not closed.
    timer.close()
    return type(timer), type(timer).__mro__[-2]


def difference(before: Census, after: Census) -> Census:
    """What there is more of, or less of."""
    return {name: count - before[name] for name, count in after.items() if count != before[name]}
