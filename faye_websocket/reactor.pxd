"""The C types of ``reactor.py``, and no logic."""

cimport cython

from . cimport _threads as threads

cdef object _switch, _count_references


cdef class Reactor:
    cdef public object hub
    cdef public object loop
    cdef unsigned long _thread
    cdef object _posted
    cdef object _alarm
    cdef object _parked
    cdef object _direct
    cdef object _job
    cdef list _jobs
    cdef Py_ssize_t _size

    cpdef bint run(self, object job, Py_ssize_t size) except -1
    cpdef run_jobs(self)
    @cython.locals(variables=dict, tree_locals=dict, count=Py_ssize_t, references=Py_ssize_t)
    cpdef work(self, object worker)
