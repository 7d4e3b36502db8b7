"""The end of every linking, by QR as by code: the phone vouches for the companion, which vouches back, and must log in anew.

pair-success (the account's signature, sealed with the shared secret) → pair-device-sign (the device's) → 515, close
"""

import hmac
import json
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tests.phone_network.accounts import Account, Device, PreKeys
from tests.phone_network.connection import SERVER, Connection
from tests.phone_network.node import Attribute, Node
from tests.phone_network.protobufs import waAdv, waCompanionReg
from tests.phone_network.signal.keys import verify

if TYPE_CHECKING:
    from tests.phone_network.network import WhatsApp

ACCOUNT_PREFIX, DEVICE_PREFIX = b"\x06\x00", b"\x06\x01"
KEY_INDEX = 1


class LinkFailed(Exception):
    """The phone could not link the companion."""


@dataclass
class Applicant:
    """A client that wants to become a companion: its connection and what it registered with."""

    connection: Connection
    prekeys: PreKeys
    properties: Any

    @classmethod
    def of(cls, connection: Connection, data: Any) -> "Applicant":
        """From the ClientPayload's devicePairingData."""
        prekeys = PreKeys(
            registration_id=int.from_bytes(data.eRegid, "big"),
            identity=data.eIdent,
            signed_prekey_id=int.from_bytes(data.eSkeyID, "big"),
            signed_prekey=data.eSkeyVal,
            signature=data.eSkeySig,
        )
        return cls(connection, prekeys, waCompanionReg.DeviceProps.FromString(data.deviceProps))


async def link(network: "WhatsApp", account: Account, applicant: Applicant, secret: bytes) -> Device:
    """`secret` is the advSecret that only the phone and the companion know. Raises LinkFailed."""
    if account.needs_passkey:
        applicant.connection.send(_passkey_request(applicant.connection))
        raise LinkFailed("this account links nothing without a passkey")
    number = account.next_device
    account.next_device += 1
    identity = applicant.prekeys.identity
    signed = _vouch(network, account, identity)
    device = Device(
        account=account, number=number, noise_key=applicant.connection.noise_key, prekeys=applicant.prekeys
    )
    device.platform = str(applicant.properties.os)
    try:
        answer = await applicant.connection.request(
            _pair_success(device, signed, secret), t=network.timestamp()
        )
    except ConnectionError as error:
        raise LinkFailed("the client went away while it was linked") from error
    device.signed_identity = _countersigned(answer, signed, identity)
    # Before the client is told to come back, which it does at once.
    account.devices[number] = device
    applicant.connection.end("515")
    return device


def _passkey_request(connection: Connection) -> Node:
    """What a browser would be asked to sign (WebAuthn)."""
    options = {"challenge": secrets.token_urlsafe(32), "rpId": "whatsapp.com", "allowCredentials": []}
    attrs: dict[str, Attribute] = {
        "from": SERVER,
        "type": "passkey_prologue_request",
        "id": connection.next_id(),
    }
    return Node("notification", attrs, [Node("passkey_request_options", {}, json.dumps(options).encode())])


def _vouch(network: "WhatsApp", account: Account, companion_identity: bytes) -> Any:
    details = waAdv.ADVDeviceIdentity(
        rawID=account.keys.registration_id, timestamp=int(network.timestamp()), keyIndex=KEY_INDEX
    ).SerializeToString()
    return waAdv.ADVSignedDeviceIdentity(
        details=details,
        accountSignatureKey=account.keys.identity.public,
        accountSignature=account.keys.identity.sign(ACCOUNT_PREFIX + details + companion_identity),
    )


def _pair_success(device: Device, signed: Any, secret: bytes) -> Node:
    details = signed.SerializeToString()
    sealed = waAdv.ADVSignedDeviceIdentityHMAC(details=details, HMAC=hmac.digest(secret, details, sha256))
    account = device.account
    children = [
        Node("device-identity", {}, sealed.SerializeToString()),
        Node("device", {"jid": device.jid, "lid": device.lid}),
        Node("platform", {"name": account.platform}),
    ]
    if account.platform.startswith("smb"):
        children.append(Node("biz", {"name": account.name}))
    return Node("pair-success", {}, children)


def _countersigned(answer: Node, signed: Any, identity: bytes) -> bytes:
    """What the companion has signed, complete with the account's key."""
    error = answer.find("error")
    if error:
        raise LinkFailed(f"the client refused: {error.attr('code')} {error.attr('text')}")
    signature = answer.find("pair-device-sign", "device-identity")
    if not signature:
        raise LinkFailed("the client did not sign")
    complete = waAdv.ADVSignedDeviceIdentity.FromString(signature.data)
    message = DEVICE_PREFIX + signed.details + identity + signed.accountSignatureKey
    if complete.details != signed.details or not verify(identity, message, complete.deviceSignature):
        raise LinkFailed("the client's signature is wrong")
    complete.accountSignatureKey = signed.accountSignatureKey
    return bytes(complete.SerializeToString())
