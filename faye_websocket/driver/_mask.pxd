"""The functions of ``_mask`` that ``codec`` uses."""

cdef bytes cut(bytes buffer, Py_ssize_t start, Py_ssize_t end, bytes masking_key, long long offset)
cdef object encode(str message)
cdef bytes join(int first, int second, int size, object payload, bytes masking_key)
