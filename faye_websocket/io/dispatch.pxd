"""The C types of ``dispatch.py``, and no logic."""

cimport cython

from . cimport _interpreter as interpreter
from ..events cimport Event, EventTarget, MessageEvent, make_message_event
from .owner cimport Owner
from .scheduler cimport Job, Scheduler

cdef dict _KEPT
cdef int _OPEN, _MESSAGE, _ASKED, _UNWANTED
cdef int _IDLE, _QUEUED, _AT_WORK

cdef class Dispatcher(Job):
    cdef readonly EventTarget target
    cdef Owner _owner
    cdef Scheduler _scheduler
    cdef readonly list _events
    cdef readonly list _ready
    cdef readonly object _messages
    cdef list _kept
    cdef public Py_ssize_t room
    # A byte each, where bint would be four, in every idle connection.
    cdef unsigned char _handled
    cdef public unsigned char is_full
    cdef unsigned char _has_opened
    cdef unsigned char _is_awaited
    cdef unsigned char _is_running

    @cython.locals(count=Py_ssize_t)
    cdef Py_ssize_t _count(self) noexcept
    cpdef push(self, Event event)
    cdef _append(self, object waiting)
    @cython.locals(handled=int, room=Py_ssize_t)
    cpdef Py_ssize_t push_message(self, object data) except -1
    cpdef object take_message(self)
    cdef _want(self, int kind)
    cpdef hold(self)
    cpdef bint run(self, Py_ssize_t size=*) except -1
    cpdef run_now(self)
    @cython.locals(event=Event)
    cpdef drain(self)
    cdef _leave(self, object waiting)
    cdef bint _turn(self) except -1
    cdef _awaken(self)
    cdef _deliver(self, Event event)
    cdef _keep(self, Event event)
