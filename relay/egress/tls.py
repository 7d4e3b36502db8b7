"""Whom we trust: the system's authorities, so that an operator's own count, and certifi's, where a slim image has none."""

import ssl

import certifi


def build_tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
