"""The C types of ``events.py``, and no logic."""

cimport cython

from . cimport _calls as calls

cdef class Event:
    cdef public str type
    cdef public object target
    cdef public object current_target

cdef class MessageEvent(Event):
    cdef public object data

@cython.locals(event=MessageEvent)
cpdef MessageEvent make_message_event(object data)

cdef dict _HANDLERS

cdef class EventTarget:
    cdef tuple _listeners
    cdef public object _onopen
    cdef public object _onmessage
    cdef public object _onerror
    cdef public object _onclose
    cdef public object _ondrain

    cpdef bint dispatch_event(self, Event event) except -1
