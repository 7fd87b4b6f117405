"""How a connection leaves the WSGI server that has accepted it."""
