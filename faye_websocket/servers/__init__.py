"""The WSGI servers: taking a connection out of the hands of each."""
