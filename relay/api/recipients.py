"""Whom a message is for: the many spellings of a phone number, and JIDs, to one JID.

    5511999998888@s.whatsapp.net · …@lid · …@g.us ──► as it is
    +55 11 99999-8888 · 0055 11 … ──► international ─┐
    5511999998888 · (11) 99999-8888 ─► of the region, ├──► digits@s.whatsapp.net
                                       else as if + stood before it ─┘

A Brazilian mobile number keeps its ninth digit, or lacks it, as the person wrote it: WhatsApp knows some accounts
by the old number and some by the new.
"""

import re
from functools import lru_cache

import phonenumbers

from relay.model.errors import InvalidInput

_JID = re.compile(
    r"(?P<user>[0-9]{5,20})@(?P<private>s\.whatsapp\.net|c\.us|lid)|(?P<group>[0-9]{5,25}(?:-[0-9]{5,20})?@g\.us)"
)
_NUMBER = re.compile(r"\+?[\d\s().\-/\u2010-\u2015]{5,40}")
_REMEMBER_MOST = 50_000


def jid_of(to: str, *, region: str, path: str = "to") -> str:
    """The JID of a recipient. Raises InvalidInput at `path`."""
    jid = _find_jid(to, region)
    if jid is None:
        raise InvalidInput(
            "Write a phone number with its country code, such as +55 11 99999-8888, or a JID.",
            path=path,
            code="recipient_invalid",
        )
    return jid


def digits_of(phone: str, *, region: str, path: str = "phone") -> str:
    """A phone number's digits with its country code. Raises InvalidInput at `path`."""
    digits = _find_digits(phone, region)
    if digits is None:
        raise InvalidInput(
            "Write a phone number with its country code, such as +55 11 99999-8888.",
            path=path,
            code="recipient_invalid",
        )
    return digits


@lru_cache(maxsize=_REMEMBER_MOST)
def _find_jid(to: str, region: str) -> str | None:
    text = to.strip()
    if "@" not in text:
        digits = _find_digits(text, region)
        return None if digits is None else f"{digits}@s.whatsapp.net"
    match = _JID.fullmatch(text)
    if match is None:
        return None
    if match["group"]:
        return match["group"]
    server = "lid" if match["private"] == "lid" else "s.whatsapp.net"
    return f"{match['user']}@{server}"


def _find_digits(phone: str, region: str) -> str | None:
    text = phone.strip()
    if not _NUMBER.fullmatch(text):
        return None
    if text.startswith("+"):
        return _possible(_parse(text, None))
    if text.startswith("00"):
        return _possible(_parse("+" + text[2:], None))
    national, international = _parse(text, region), _parse("+" + text, None)
    for number in (national, international):
        if number is not None and phonenumbers.is_valid_number(number):
            return _spell(number)
    return _possible(national) or _possible(international)


def _parse(text: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None


def _possible(number: phonenumbers.PhoneNumber | None) -> str | None:
    if number is None:
        return None
    # Neither validity, which a number without its ninth digit lacks, nor any length that some hotline has.
    kind = phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE
    reason = phonenumbers.is_possible_number_for_type_with_reason(number, kind)
    possible = reason == phonenumbers.ValidationResult.IS_POSSIBLE
    return _spell(number) if possible else None


def _spell(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
