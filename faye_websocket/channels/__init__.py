"""Channels: rooms and feeds over all workers, on Redis or in memory."""

from __future__ import annotations

from .channels import Channels, Subscription
from .message import envelope

__all__ = ['Channels', 'Subscription', 'envelope']
