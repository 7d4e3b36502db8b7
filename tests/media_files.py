"""Files as WhatsApp keeps them, and its media server: HTTPS with an authority of the test's own, behind a proxy.

client ──CONNECT mmg.whatsapp.net:443──► MediaServer ──TLS──► GET /path ──► what the test has laid there
"""

import asyncio
import hashlib
import hmac
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.x509.oid import NameOID

from relay.engines.engine import MediaRef
from relay.engines.whatsapp_media import BLOCK_BYTES, MAC_BYTES, Kind, Opener, _expand

PLAIN = b"\x89PNG and then some pixels" * 40
KEY = hashlib.sha256(b"a media key").digest()
NAME = "mmg.whatsapp.net"


def seal(chunks: Iterable[bytes], *, key: bytes, kind: Kind) -> Iterator[bytes]:
    """What lies at WhatsApp for a file of these chunks."""
    keys = _expand(key, kind)
    encryptor = Cipher(AES(keys.cipher), CBC(keys.iv)).encryptor()
    padder = PKCS7(BLOCK_BYTES * 8).padder()
    mac = hmac.new(keys.mac, keys.iv, hashlib.sha256)
    for chunk in chunks:
        ciphertext = encryptor.update(padder.update(chunk))
        mac.update(ciphertext)
        yield ciphertext
    last = encryptor.update(padder.finalize()) + encryptor.finalize()
    mac.update(last)
    yield last + mac.digest()[:MAC_BYTES]


def file_of(
    plain: bytes,
    *,
    kind: Kind = "image",
    key: bytes = KEY,
    path: str = "/v/t62/1?ccb=1",
    mimetype: str = "image/png",
) -> tuple[MediaRef, bytes]:
    """What a message says of a file, and what lies at WhatsApp."""
    sealed = b"".join(seal([plain], key=key, kind=kind))
    ref = MediaRef(
        kind=kind,
        direct_path=path,
        key=key,
        sha256=hashlib.sha256(plain).digest(),
        encrypted_sha256=hashlib.sha256(sealed).digest(),
        size_bytes=len(plain),
        mimetype=mimetype,
    )
    return ref, sealed


def open_all(ref: MediaRef, *chunks: bytes) -> bytes:
    opener = Opener(ref)
    return b"".join(opener.update(chunk) for chunk in chunks) + opener.finish()


@dataclass
class Reply:
    """One answer. `held` waits before the body; `cut` ends the connection in the middle of it."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    length: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    held: asyncio.Event | None = None
    cut: bool = False


@dataclass
class MediaServer:
    """What lies where: each path's answers in turn, the last of them for ever."""

    proxy: str = ""
    authority: Path = Path()
    answers: defaultdict[str, deque[Reply]] = field(default_factory=lambda: defaultdict(deque))
    asked: list[str] = field(default_factory=list)
    """The targets of all GETs, in order."""
    tunnels: list[str] = field(default_factory=list)
    """Where the proxy was asked to connect."""
    at_once: int = 0
    most_at_once: int = 0

    def lay(self, ref: MediaRef, *replies: Reply) -> None:
        self.answers[ref.direct_path.partition("?")[0]].extend(replies)

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            self.tunnels.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
            writer.write(b"HTTP/1.1 200 ok\r\n\r\n")
            await writer.start_tls(tls)
            target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            self.asked.append(target)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                await _answer(self._next(target), writer)
            finally:
                self.at_once -= 1
        with suppress(OSError, ssl.SSLError):
            writer.close()

    def _next(self, target: str) -> Reply:
        laid = self.answers[target.partition("?")[0]]
        if not laid:
            return Reply(status=404)
        return laid.popleft() if len(laid) > 1 else laid[0]


async def _answer(reply: Reply, writer: asyncio.StreamWriter) -> None:
    if reply.held is not None:
        await reply.held.wait()
    length = len(reply.body) if isinstance(reply.body, bytes) and reply.length is None else reply.length
    head = [
        f"HTTP/1.1 {reply.status} said",
        *(f"{k}: {v}" for k, v in reply.headers.items()),
        "Connection: close",
    ]
    if length is not None:
        head.append(f"Content-Length: {length}")
    writer.write("\r\n".join([*head, "", ""]).encode())
    chunks = [reply.body] if isinstance(reply.body, bytes) else reply.body
    for chunk in chunks:
        writer.write(chunk[: len(chunk) // 2] if reply.cut else chunk)
        await writer.drain()


@asynccontextmanager
async def serve_media(folder: Path) -> AsyncIterator[MediaServer]:
    """The server, reached through its proxy by whoever trusts `authority`."""
    media = MediaServer(authority=folder / "authority.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(_certify(media.authority, folder))
    server = await asyncio.start_server(lambda r, w: media.handle(r, w, tls), "127.0.0.1", 0)
    media.proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield media
    finally:
        server.close()


def _certify(authority: Path, folder: Path) -> Path:
    """An authority, and a certificate of the media server's with its key; answers the latter's file."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Test authority", NAME)]
    now = datetime.now(UTC)
    certificates = []
    for place in range(2):
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[place])
            .issuer_name(names[0])
            .public_key(keys[place].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=place == 0, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(keys[place].public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False
            )
        )
        if place:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        certificates.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    authority.write_bytes(certificates[0])
    chain = folder / "server.pem"
    chain.write_bytes(
        certificates[1]
        + keys[1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain
