"""``calls`` for the compiled modules."""

from cpython.object cimport PyObject_GenericSetAttr as set_attribute
from cpython.unicode cimport PyUnicode_Tailmatch

cdef extern from *:
    """
    /* CPython 3.12 and 3.13 count calls in C separately, up to a limit that is too high
       for these calls, and later versions only check the room on the stack. So count
       them as calls in Python, too. A version that was not tested may lack the field:
       there the room on the stack is the limit. */
    #if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x03100000 \
        && !defined(FWS_UNKNOWN_INTERPRETER)
    #define FWS_COUNT(change) (PyThreadState_Get()->py_recursion_remaining += (change))
    #else
    #define FWS_COUNT(change) 0
    #endif

    static CYTHON_INLINE void fws_leave(void) {
        (void)FWS_COUNT(1);
        Py_LeaveRecursiveCall();
    }

    static CYTHON_INLINE int fws_enter(void) {
        /* It returns 1 or -1 for an error. */
        if (Py_EnterRecursiveCall(" while calling a handler"))
            return -1;
        if (FWS_COUNT(-1) >= 0)
            return 0;
        fws_leave();
        PyErr_SetString(PyExc_RecursionError,
            "maximum recursion depth exceeded while calling a handler");
        return -1;
    }
    """
    int _enter "fws_enter"() except -1
    void _leave "fws_leave"() noexcept

cdef inline bint begins_with(object text, object beginning) except -1:
    return PyUnicode_Tailmatch(text, beginning, 0, 2, -1)

cdef inline object call(object function, object argument):
    _enter()
    try:
        return function(argument)
    finally:
        _leave()
