"""Who the stand-in says it is: WhatsApp's Noise root with its two certificates, and a TLS authority with one for its hosts.

Both are made anew for each network; the clients are told the roots through their environment (see README.md).
"""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.phone_network.protobufs import waCert
from tests.phone_network.signal.keys import KeyPair

HOSTS = ("web.whatsapp.com", "mmg.whatsapp.net", "*.whatsapp.net", "*.whatsapp.com")
VALID = timedelta(days=2)


class Certificates:
    """The Noise side: the root that clients pin, the server's static key and the chain between them."""

    def __init__(self) -> None:
        self._root, intermediate, self.static = (KeyPair.generate() for _ in range(3))
        chain = waCert.CertChain()
        _fill(chain.intermediate, intermediate.public, serial=1, issuer_serial=0, issuer=self._root)
        _fill(chain.leaf, self.static.public, serial=2, issuer_serial=1, issuer=intermediate)
        self.chain = bytes(chain.SerializeToString())

    @property
    def root(self) -> bytes:
        return self._root.public


def _fill(certificate: Any, key: bytes, *, serial: int, issuer_serial: int, issuer: KeyPair) -> None:
    now = datetime.now(UTC)
    certificate.details = waCert.CertChain.NoiseCertificate.Details(
        serial=serial,
        issuerSerial=issuer_serial,
        key=key,
        notBefore=int((now - VALID).timestamp()),
        notAfter=int((now + VALID).timestamp()),
    ).SerializeToString()
    certificate.signature = issuer.sign(certificate.details)


def make_tls(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The authority's certificate as a file for SSL_CERT_FILE, and the context of a server that it has certified."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Stand-in of WhatsApp's servers, for tests")])
    authority = (
        _builder(name, name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = [x509.DNSName(host) for host in HOSTS] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    host = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTS[0])])
    certificate = (
        _builder(host, name, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    authority_file, server_file = folder / "authority.pem", folder / "server.pem"
    authority_file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    server_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    context.set_alpn_protocols(["http/1.1"])
    return authority_file, context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
    )
