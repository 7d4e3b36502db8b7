"""neonize alone: everything of a session goes through its SOCKS5 proxy, with the proxy's user name and password."""

from pathlib import Path

from relay.egress.tls import build_tls_context
from relay.engines.engine import Outgoing, Received
from relay.host.media_download import download
from relay.model.message import MessageType
from tests.engines.media import media_of
from tests.engines.neonize_phones import NeonizePhones
from tests.engines.phones import Recorder, link
from tests.phone_network.socks import open_socks


async def test_socks5(neonize: NeonizePhones, tmp_path: Path) -> None:
    """Linking, messages both ways, and files both ways."""
    async with open_socks(neonize.network.proxy_url) as socks:
        account = await neonize.new_account(proxy=socks.url)
        heard = Recorder()
        engine = await link(neonize, account, heard)
        maria = neonize.people.new("5511912345678", "Maria")
        media = media_of(MessageType.DOCUMENT, tmp_path)
        await engine.send(Outgoing(chat=f"{maria.pn}", type=MessageType.DOCUMENT, content={}, media=media))
        sent = await maria.inbox.first()
        assert await maria.open_media(sent) == Path(str(media and media.path)).read_bytes()

        await maria.say(neonize.phone_of(account), document=b"a file")
        await neonize.settle()
        ref = heard.get(Received).media
        assert ref is not None
        chunks = [
            chunk async for chunk in download(ref, proxy=socks.url, tls=build_tls_context(), max_bytes=1000)
        ]
        assert b"".join(chunks) == b"a file"
        assert {"web.whatsapp.com:443", "mmg.whatsapp.net:443"} <= set(socks.asked)
        await engine.stop()


async def test_wrong_password(neonize: NeonizePhones) -> None:
    """A proxy that turns the session away leaves it disconnected; nothing goes around it."""
    async with open_socks(neonize.network.proxy_url) as socks:
        account = await neonize.new_account(proxy=socks.url.replace("p%40ss", "wrong"))
        heard = Recorder()
        await neonize.engine(account, heard).start()
        await neonize.settle()
        assert heard.names == ["Disconnected"]
        assert socks.refused
        assert not socks.asked
