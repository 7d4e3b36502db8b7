"""Relay: many WhatsApp accounts, connected to the systems of the companies that own them."""

__version__ = "0.1.0"
