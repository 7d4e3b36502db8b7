"""Relay: many WhatsApp accounts, connected to the systems of the companies that own them."""

import sys

__version__ = "0.1.0"

# httpx does without its command line where that cannot be imported. It would bring two libraries for terminals along:
# 6 MB in each process, which need them for nothing. Here, so that nobody imports httpx before.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
