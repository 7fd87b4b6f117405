"""Channels: rooms and feeds across all workers, on Redis or in memory."""

from __future__ import annotations

from .channels import Channels
from .message import envelope
from .visit import Subscription

__all__ = ['Channels', 'Subscription', 'envelope']
