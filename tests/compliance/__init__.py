"""The Autobahn test suite, against our server and our client."""
