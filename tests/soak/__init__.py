"""A soak: thousands of connections that come and go, for as long as desired.

Every feature is used, and faults are injected.
"""
