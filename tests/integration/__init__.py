"""Tests against real servers, proxies, browsers and libraries."""
