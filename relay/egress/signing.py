"""Signatures of Standard Webhooks 1.0.0: `v1,<base64 HMAC-SHA256 of id.timestamp.body>`, one for each secret.

While a secret is being rotated a delivery carries two, the newest first, separated by a space: a receiver accepts
it when any of them fits.
"""

import base64
import hmac
from collections.abc import Sequence


def decode_secret(secret: str) -> bytes:
    """The key in `whsec_<base64>`."""
    return base64.b64decode(secret.removeprefix("whsec_"), validate=True)


class Signer:
    """Signs for one endpoint; its secrets are decoded once."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = tuple(decode_secret(secret) for secret in secrets)

    def sign(self, webhook_id: str, timestamp: int, body: bytes) -> str:
        """The value of `webhook-signature`; `timestamp` is of this attempt, in unix seconds."""
        content = f"{webhook_id}.{timestamp}.".encode() + body
        # hmac.digest is one call into OpenSSL, quicker than copying a prepared hmac object.
        return " ".join(
            ["v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in self._keys]
        )
