"""What a stanza of a client leads to: its handler, and then the answer that every stanza of its kind gets.

iq                → network.iq[(xmlns, type, child)] or network.iq[(xmlns, type)] → <iq type=result|error>
message, receipt… → network.stanzas[tag] → <ack>
ack, receipt      → and what they acknowledge is no longer pending
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from tests.phone_network.accounts import StanzaKey
from tests.phone_network.connection import SERVER, Connection, IqError
from tests.phone_network.node import Attribute, Node

if TYPE_CHECKING:
    from tests.phone_network.network import WhatsApp

ACKNOWLEDGED = ("message", "receipt", "call")
# Acknowledgements, and what the client tells of itself: nobody need listen.
UNANSWERED = ("ack", "ib")


async def dispatch(network: "WhatsApp", connection: Connection, node: Node) -> None:
    if node.tag == "iq":
        await _answer_iq(network, connection, node)
        return
    if node.tag in ("ack", "receipt"):
        _settle(connection, node)
    handler = network.stanzas.get(node.tag)
    if not handler and node.tag not in UNANSWERED:
        network.unheard[node.tag] += 1
    if not connection.logged_in_as:
        return
    error = connection.account.faults.take_refusal() if node.tag == "message" else None
    if error is not None:
        _acknowledge(connection, node, error=error)
        return
    try:
        if handler:
            await handler(connection, node)
    except IqError as refused:
        _acknowledge(connection, node, error=refused.code)
        return
    if node.tag in ACKNOWLEDGED:
        _acknowledge(connection, node)


async def _answer_iq(network: "WhatsApp", connection: Connection, node: Node) -> None:
    if node.attr("type") in ("result", "error"):
        return
    answer = Node("iq", {"from": node.attrs.get("to", SERVER), "type": "result", "id": node.attr("id")})
    name = (node.attr("xmlns"), node.attr("type"))
    child = node.children[0].tag if node.children else ""
    handler = network.iq.get((*name, child)) or network.iq.get(name)
    try:
        if not handler:
            network.unheard[" ".join((*name, child))] += 1
            raise IqError(501, "feature-not-implemented")
        content = await handler(connection, node)
    except IqError as error:
        answer.attrs["type"] = "error"
        content = Node("error", {"code": str(error.code), "text": error.text})
    answer.content = [content] if content else None
    connection.send(answer)


def _acknowledge(connection: Connection, node: Node, *, error: int | None = None) -> None:
    acks = connection.account.faults.acks if node.tag == "message" else None
    if acks == "withheld":
        return
    ack = Node("ack", {"class": node.tag, "id": node.attr("id"), "from": node.attrs.get("to", SERVER)})
    for name in ("participant", "type"):
        if node.tag != "message" and name in node.attrs:
            ack.attrs[name] = node.attrs[name]
    ack.attrs["t"] = connection.network.timestamp()
    if error is not None:
        ack.attrs["error"] = str(error)
    if acks == "held":
        connection.account.faults.held.append(partial(connection.send, ack))
        connection.account.watch.changed()
    elif isinstance(acks, float):
        asyncio.get_running_loop().call_later(acks, connection.send, ack)
    else:
        connection.send(ack)


def key_of(tag: str, id: str, party: Attribute, participant: Attribute) -> StanzaKey:
    return (tag, id, str(party), str(participant))


def _settle(connection: Connection, node: Node) -> None:
    """The client has got something: it does not come again."""
    device = connection.logged_in_as
    if not device or not device.pending:
        return
    tag = node.attr("class") if node.tag == "ack" else "message"
    ids = [node.attr("id")]
    listed = node.find("list")
    if listed:
        ids += [item.attr("id") for item in listed.all("item")]
    for name in ids:
        device.pending.pop(key_of(tag, name, node.attr("to"), node.attr("participant")), None)
    if not device.pending:
        device.account.watch.changed()
