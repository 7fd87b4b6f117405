"""Tests against real servers, proxies, browsers and other libraries, each in a process of its own."""
