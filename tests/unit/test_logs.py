"""Logs: one line an event, and nothing in it that could harm a person or open a door."""

import logging

import msgspec
import pytest

from relay.logs import JsonFormatter, TextFormatter, mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("to +5511999998888 now", "to *** now"),
        ("to 5511999998888@s.whatsapp.net", "to ***@s.whatsapp.net"),
        ("in 120363000000000001@g.us", "in ***@g.us"),
        ("key relay_AZA65LbJSjJhnOwPwgy7Kxu2w9YzyaszCVJ6K6s4NrR23WdCL", "key relay_***"),
        ("secret whsec_ogJj9xLMMrw+TXCf1MYOxtyGyTTHA9TQ14Nuvhkm/aI=", "secret whsec_***"),
        ("postgresql://relay:pw@/relay?host=x", "postgresql://***@/relay?host=x"),
        ("GET https://hooks.example.com/in?token=abc#x", "GET https://hooks.example.com/in?***"),
        ("DETAIL:  Failing row contains (Olá, Maria).", "DETAIL: ***"),
        ("session=ses_01k0wyvazhh10n8q9mp51xche0 status=200 took 1234 ms", None),
        ("evt_01k0wzf9fds136z0j3ajb9phyk at 2026-11-23T01:54:08.460+00:00", None),
        ("pid 24034 port 8080 version 0.1.0", None),
    ],
)
def test_masking(text: str, masked: str | None) -> None:
    """Numbers, keys, secrets, credentials, queries and rows go; ids, times and small numbers stay."""
    assert mask(text) == (text if masked is None else masked)


def _record(**extra: object) -> logging.LogRecord:
    record = logging.LogRecord("relay.test", logging.INFO, __file__, 1, "message.sent", (), None)
    record.__dict__.update(extra)
    return record


def test_fields_are_masked_too() -> None:
    """A number that slipped into a field does not reach the file, in either format."""
    record = _record(chat="5511999998888@s.whatsapp.net", duration_ms=12)
    assert "5511999998888" not in TextFormatter(masked=True).format(record)
    line = msgspec.json.decode(JsonFormatter(masked=True).format(record))
    assert (line["event"], line["chat"], line["duration_ms"]) == ("message.sent", "***@s.whatsapp.net", 12)


def test_the_operator_may_see_all() -> None:
    """With `logs.mask: false` nothing is changed."""
    record = _record(chat="5511999998888@s.whatsapp.net")
    assert "5511999998888" in TextFormatter(masked=False).format(record)


def test_a_trace_is_masked() -> None:
    """An exception's text may repeat what a person wrote."""
    text = "no chat 5511999998888@s.whatsapp.net\nDETAIL: Key (text)=(Olá) exists."
    try:
        raise ValueError(text)
    except ValueError as error:
        record = _record()
        record.exc_info = (type(error), error, error.__traceback__)
    line = TextFormatter(masked=True).format(record)
    assert "5511999998888" not in line
    assert "Olá" not in line
    assert "ValueError" in line
