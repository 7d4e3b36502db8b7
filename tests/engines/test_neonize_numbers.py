"""neonize alone: numbers that people spell in another way than WhatsApp does."""

import pytest

from relay.model.errors import SendRejected
from tests.engines.neonize_desk import Desk
from tests.engines.test_send import text

_AS_PEOPLE_WRITE = "5511987654321"
_AS_WHATSAPP_KNOWS = "551187654321"


async def test_older_brazilian_number(desk: Desk) -> None:
    """With the ninth digit or without, the same account is found and written to, and the send says where it went."""
    old = desk.people.new(_AS_WHATSAPP_KNOWS, "Dona Ana")
    desk.services.spellings[_AS_PEOPLE_WRITE] = _AS_WHATSAPP_KNOWS
    jid = f"{_AS_WHATSAPP_KNOWS}@s.whatsapp.net"

    assert await desk.engine.check_numbers([_AS_PEOPLE_WRITE]) == {_AS_PEOPLE_WRITE: jid}
    for words in ("Oi", "Tudo bem?"):
        sent = await desk.engine.send(text(words, chat=f"{_AS_PEOPLE_WRITE}@s.whatsapp.net"))
        assert sent.chat == jid
    assert [posted.text for posted in await old.inbox.at_least(2)] == ["Oi", "Tudo bem?"]
    assert (await desk.engine.send(text("E aí?", chat=jid))).chat is None


async def test_number_of_nobody(desk: Desk) -> None:
    """A number without an account fails, and says so."""
    with pytest.raises(SendRejected) as refused:
        await desk.engine.send(text("Oi", chat="5511900000001@s.whatsapp.net"))
    assert refused.value.code == "not_on_whatsapp"
