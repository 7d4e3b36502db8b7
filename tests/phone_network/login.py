"""A linked client logs in: success or failure, its prekeys, what waited for it, its pings.

ClientPayload{username, device} → <failure> | <success>
encrypt count / set, passive active → connected: what waited goes out, then <ib><offline>
"""

import asyncio
from typing import TYPE_CHECKING, Any

from tests.phone_network.connection import SERVER, Connection, IqError
from tests.phone_network.node import Attribute, Node

if TYPE_CHECKING:
    from tests.phone_network.network import WhatsApp

LOGGED_OUT = {"reason": "401", "location": "rva"}


def install(network: "WhatsApp") -> None:
    network.iq["encrypt", "get", "count"] = _count_prekeys
    network.iq["encrypt", "set"] = _upload_prekeys
    network.iq["passive", "set"] = _set_passive
    network.iq["w:p", "get"] = _ping


def log_in(network: "WhatsApp", connection: Connection, payload: Any) -> None:
    account = network.accounts.get(str(payload.username))
    device = account.devices.get(payload.device) if account else None
    if account and account.faults.refusal:
        connection.fail(account.faults.refusal)
        return
    if not device or device.noise_key != connection.noise_key:
        connection.fail(LOGGED_OUT)
        return
    if device.connection:
        device.replaced += 1
        device.connection.end("", Node("conflict", {"type": "replaced"}))
    device.connection = connection
    connection.logged_in_as = device
    network.connections[device.account, device.number] = connection
    attrs: dict[str, Attribute] = {
        "t": network.timestamp(),
        "location": "rva",
        "lid": device.lid,
        "display_name": device.account.name,
    }
    connection.send(Node("success", attrs))


async def _count_prekeys(connection: Connection, node: Node) -> Node:
    return Node("count", {"value": str(len(connection.device.prekeys.one_time))})


async def _upload_prekeys(connection: Connection, node: Node) -> None:
    device = connection.device
    signed, listed = node.find("skey"), node.find("list")
    registration, identity = node.find("registration"), node.find("identity")
    if not (signed and listed and registration and identity):
        raise IqError(400, "bad-request")
    prekeys = device.prekeys
    prekeys.registration_id = int.from_bytes(registration.data, "big")
    prekeys.identity = identity.data
    prekeys.signed_prekey_id, prekeys.signed_prekey, prekeys.signature = _signed(signed)
    prekeys.one_time.extend(_key(key) for key in listed.children)


def _key(node: Node) -> tuple[int, bytes]:
    number, value = node.find("id"), node.find("value")
    if not (number and value):
        raise IqError(400, "bad-request")
    return int.from_bytes(number.data, "big"), value.data


def _signed(node: Node) -> tuple[int, bytes, bytes]:
    signature = node.find("signature")
    if not signature:
        raise IqError(400, "bad-request")
    return *_key(node), signature.data


async def _set_passive(connection: Connection, node: Node) -> None:
    if node.find("passive"):
        connection.is_active = False
        return
    # After the result, which leaves in this turn of the loop.
    asyncio.get_running_loop().call_soon(_activate, connection)


def _activate(connection: Connection) -> None:
    """The client takes messages from now on, those that waited first."""
    device = connection.device
    if device.connection is not connection:
        return
    connection.is_active = True
    waiting = list(device.pending.values())
    if waiting:
        counts = {
            tag: str(sum(node.tag == tag for node in waiting))
            for tag in ("message", "receipt", "notification")
        }
        connection.send(
            _info(Node("offline_preview", {"count": str(len(waiting)), "appdata": "0", **counts}))
        )
    for number, node in enumerate(waiting):
        connection.send(Node(node.tag, {**node.attrs, "offline": str(number)}, node.content))
    connection.send(_info(Node("offline", {"count": str(len(waiting))})))
    device.account.watch.changed()


def _info(content: Node) -> Node:
    return Node("ib", {"from": SERVER}, [content])


async def _ping(connection: Connection, node: Node) -> None:
    """Any answer will do."""
