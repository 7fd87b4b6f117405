"""The commands of the command line."""

from __future__ import annotations

__all__ = ['UsageError']


class UsageError(Exception):
    """The command cannot do what its arguments ask for; the text says why."""
