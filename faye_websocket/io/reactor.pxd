"""The C types of ``reactor.py``, and no logic."""

cimport cython

from . cimport _interpreter as interpreter
from .scheduler cimport Job, Scheduler

cdef Py_ssize_t BATCH
cdef object _switch

cdef class Reactor(Scheduler):
    cdef public object hub
    cdef public object loop
    cdef readonly unsigned long thread
    cdef object _posted
    cdef object _alarm
    cdef object _parked
    cdef object _lent
    cdef Job _running
    cdef list _jobs
    cdef Py_ssize_t _size

    cpdef bint run(self, Job job, Py_ssize_t size) except -1
    cpdef run_jobs(self)
    cdef _hand_over(self)
    cdef _take_back(self)
    @cython.locals(job=Job, variables=dict, tree_locals=dict, count=Py_ssize_t, references=Py_ssize_t)
    cpdef work(self, object worker)
