"""What neonize says of a send that failed, and what may be done with the message: the sentences are whatsmeow's."""

import pytest

from relay.engines.neonize_calls import _call_error, _send_error
from relay.model.errors import NotConnected, NotFound, OutcomeUnknown, RelayError, SendRejected


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        # After 75 seconds without an acknowledgement (send.go: defaultRequestTimeout).
        ("timed out waiting for message send response", OutcomeUnknown),
        ("websocket disconnected before message send returned response", OutcomeUnknown),
        ("failed to send message node: websocket: close sent", OutcomeUnknown),
        ("context canceled", OutcomeUnknown),
        ("something that nobody has seen yet", OutcomeUnknown),
        ("websocket not connected", NotConnected),
        (
            "failed to get device list: websocket disconnected before info query returned response",
            NotConnected,
        ),
        ("server returned error 463", SendRejected),
        ("no LID found for 5511912340000@s.whatsapp.net from server", SendRejected),
        ("failed to get group members: you're not participating in that group", SendRejected),
    ],
)
def test_send_errors(sentence: str, kind: type[RelayError]) -> None:
    """Only what was surely not done may be done again."""
    assert isinstance(_send_error(sentence), kind)


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("websocket not connected", NotConnected),
        ("websocket disconnected before info query returned response", OutcomeUnknown),
        ("info query timed out", OutcomeUnknown),
        ("that group does not exist", NotFound),
        ("you're not participating in that group", NotFound),
        ("info query returned status 406: not-acceptable", SendRejected),
    ],
)
def test_call_errors(sentence: str, kind: type[RelayError]) -> None:
    """Any other request: done, not done, or nobody knows."""
    assert isinstance(_call_error(sentence), kind)
