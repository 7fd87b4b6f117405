"""The C types of ``scheduler.py``, and no logic."""

cdef Py_ssize_t _forking, _forks

cdef class Job:
    cpdef drain(self)

cdef class Scheduler:
    cdef Py_ssize_t _pid
    cdef Py_ssize_t _seen_forks
    cdef bint _is_parted

    cpdef bint is_inherited(self) except -1
    cpdef bint run(self, Job job, Py_ssize_t size) except -1
    cpdef run_jobs(self)
