"""The Autobahn test suite, against the server and the client of this library."""
