"""The command line, which ``python -m faye_websocket`` runs, too; it is in ``cli``."""

from __future__ import annotations

import sys

from .cli.commands import main

__all__ = ['main']

if __name__ == '__main__':
    sys.exit(main())
