"""Recipients: the many spellings of one number, and what is no recipient at all."""

import pytest

from relay.api.recipients import digits_of, jid_of
from relay.model.errors import InvalidInput


@pytest.mark.parametrize(
    ("to", "digits"),
    [
        ("+55 11 99999-8888", "5511999998888"),
        ("5511999998888", "5511999998888"),
        ("(11) 99999-8888", "5511999998888"),
        ("011 99999-8888", "5511999998888"),
        ("11999998888", "5511999998888"),
        (" +5511999998888 ", "5511999998888"),
        # The ninth digit is left out, or put in, as the person wrote it.
        ("+55 11 9999-8888", "551199998888"),
        ("551199998888", "551199998888"),
        ("(11) 9999-8888", "551199998888"),
        # Other countries, with and without the plus.
        ("+1 415 555 2671", "14155552671"),
        ("14155552671", "14155552671"),
        ("0044 20 7946 0958", "442079460958"),
        ("351 912 345 678", "351912345678"),
        ("+54 9 11 2345-6789", "5491123456789"),
        ("+39 06 698 12345", "390669812345"),
    ],
)
def test_numbers(to: str, digits: str) -> None:
    """Each spelling means one number, with its country code."""
    assert jid_of(to, region="BR") == f"{digits}@s.whatsapp.net"
    assert digits_of(to, region="BR") == digits


def test_region_is_the_servers() -> None:
    """A national number is one of the region that the server is set to."""
    assert digits_of("020 7946 0958", region="GB") == "442079460958"
    assert digits_of("(415) 555-2671", region="US") == "14155552671"


@pytest.mark.parametrize(
    ("to", "jid"),
    [
        ("5511999998888@s.whatsapp.net", "5511999998888@s.whatsapp.net"),
        ("5511999998888@c.us", "5511999998888@s.whatsapp.net"),
        ("123456789012345@lid", "123456789012345@lid"),
        ("120363012345678901@g.us", "120363012345678901@g.us"),
        ("5511999998888-1234567890@g.us", "5511999998888-1234567890@g.us"),
    ],
)
def test_jids(to: str, jid: str) -> None:
    """A JID stays what it is; the old spelling of a private chat becomes the new one."""
    assert jid_of(to, region="BR") == jid


@pytest.mark.parametrize(
    "to",
    [
        "", " ", "+", "12345", "99999-8888", "+1", "+55 11 99999-88889999", "1-800-FLOWERS", "11999998888;ext=3",
        "maria", "maria@example.com", "5511999998888:4@s.whatsapp.net", "x@g.us", "5511999998888@",
        "@s.whatsapp.net", "status@broadcast", "+5511999998888\n+5511999997777", "0" * 100,
    ],
)  # fmt: skip
def test_what_is_no_recipient(to: str) -> None:
    """It is refused at the field's path, with an example."""
    with pytest.raises(InvalidInput, match="country code") as refused:
        jid_of(to, region="BR")
    assert refused.value.path == "to"
