"""Signatures: the specification's own vector, and both reference libraries as judges."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError
from svix.webhooks import Webhook as SvixWebhook

from relay.egress.signing import Signer

SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()


def test_the_specifications_vector() -> None:
    """Standard Webhooks 1.0.0, with and without the prefix."""
    for secret in (SECRET, f"whsec_{SECRET}"):
        signed = Signer([secret]).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
        assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(key=st.binary(min_size=24, max_size=64), text=st.text(max_size=200))
def test_the_reference_libraries_accept_it(key: bytes, text: str) -> None:
    """Any secret of the allowed lengths, any text."""
    secret = "whsec_" + base64.b64encode(key).decode()
    body = b'{"text": "' + text.encode(errors="ignore").hex().encode() + b'"}'
    headers = signed_headers([secret], body)
    Webhook(secret).verify(body, headers)
    SvixWebhook(secret).verify(body, headers)


def test_during_a_rotation_either_secret_verifies() -> None:
    """A receiver with the old one and a receiver with the new one are both served."""
    headers = signed_headers([OTHER, SECRET], b"{}")
    Webhook(OTHER).verify(b"{}", headers)
    Webhook(SECRET).verify(b"{}", headers)
    SvixWebhook(SECRET).verify(b"{}", headers)


@pytest.mark.parametrize("changed", [{"webhook-id": "evt_2"}, {"webhook-timestamp": "1"}])
def test_the_id_and_the_time_are_signed_too(changed: dict[str, str]) -> None:
    """Neither can be swapped for another."""
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(b"{}", signed_headers([SECRET], b"{}") | changed)


def signed_headers(secrets: list[str], body: bytes) -> dict[str, str]:
    at = int(datetime.now(UTC).timestamp())
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(at),
        "webhook-signature": Signer(secrets).sign("evt_1", at, body),
    }
