"""Many files are to be converted at once: who waits for a turn has sent nothing yet."""

from pathlib import Path
from typing import Any

import pytest

from relay.config import Config
from relay.config import Host as HostSettings
from relay.engines import transcode
from relay.engines.engine import Media
from relay.engines.transcode import Transcoder
from relay.model.message import MessageType
from relay.store.pool import Pool
from tests.accounts import add_session
from tests.engines.sandbox_phones import SandboxPhones
from tests.hosting import Hosting


async def test_a_file_that_waits_for_its_conversion_goes_out_later(
    pool: Pool, url: str, tmp_path: Path, phones: SandboxPhones, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All turns are taken for longer than a send may take: it is queued again, not `unknown`, and goes out once."""
    monkeypatch.setattr(transcode, "_TURN_SECONDS", 0.1, raising=False)
    config = Config(host=HostSettings(send_timeout_seconds=1))
    hosting = Hosting(pool, url, tmp_path, phones, config=config)
    async with pool.acquire() as conn:
        account = await add_session(conn)
    await hosting.link(account)
    engine = hosting.host._held[account[1]].session.engine
    assert engine is not None
    transcoder, send = Transcoder(tmp_path, at_once=1), engine.send
    file = Media(path="a.pdf", mimetype="application/pdf", file_name="a.pdf", size_bytes=1)

    async def convert_and_send(outgoing: Any) -> Any:
        # As RemoteEngine.send does.
        async with transcoder.prepared(file, MessageType.DOCUMENT, voice=False):
            return await send(outgoing)

    monkeypatch.setattr(engine, "send", convert_and_send)
    async with transcoder._turns:
        messages = await hosting.queue(account, "the film")

        async def has_been_tried() -> bool:
            return "sending" not in await hosting.statuses(messages) and bool(hosting.host.sender._lately)

        await hosting.until(has_been_tried)
    await hosting.settled(messages, "sent")
    assert await hosting.outbox(account) == ["the film"]
    await hosting.stop()
