"""``threads`` for the compiled modules: the number without an object made of it."""

cdef extern from "pythread.h":
    unsigned long get_ident "PyThread_get_thread_ident"() noexcept
