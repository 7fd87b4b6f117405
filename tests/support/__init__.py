"""Helpers of the tests: servers and proxies as processes, a raw client, applications.
"""
