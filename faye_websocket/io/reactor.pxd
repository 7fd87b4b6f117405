"""The C types of ``reactor.py``, and no logic."""

cimport cython

from . cimport _interpreter as interpreter

cdef Py_ssize_t BATCH, _forking, _forks
cdef object _switch

cdef class Job:
    cpdef drain(self)

cdef class Reactor:
    cdef public object hub
    cdef public object loop
    cdef readonly unsigned long thread
    cdef object _posted
    cdef object _alarm
    cdef object _parked
    cdef object _direct
    cdef Job _job
    cdef list _jobs
    cdef Py_ssize_t _size
    cdef Py_ssize_t _forks
    cdef Py_ssize_t _pid
    cdef bint _is_parted

    cpdef bint is_inherited(self) except -1
    cpdef bint run(self, Job job, Py_ssize_t size) except -1
    cpdef run_jobs(self)
    cdef _run_jobs(self)
    cdef _rest(self)
    @cython.locals(job=Job, variables=dict, tree_locals=dict, count=Py_ssize_t, references=Py_ssize_t)
    cpdef work(self, object worker)
