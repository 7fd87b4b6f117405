"""HTTP/1.1 heads, URLs and origins, without I/O."""
