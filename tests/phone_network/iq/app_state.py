"""`w:sync:app:state`: a companion fetches the patches that it has not seen, or appends one of its own."""

from typing import TYPE_CHECKING

from tests.phone_network.activity import Synced
from tests.phone_network.app_state import AppState, BadPatch
from tests.phone_network.connection import IqError
from tests.phone_network.node import Attribute, Node

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp
    from tests.phone_network.services import Services


def register(network: "WhatsApp", services: "Services") -> None:
    async def sync(connection: "Connection", iq: Node) -> Node:
        state = services.app_state(connection.account)
        answered = answer(state, iq)
        connection.account.name = state.push_name() or connection.account.name
        for collection in answered.children:
            synced = Synced(connection.device.jid, collection.attr("name"), int(collection.attr("version")))
            services.activity.record(synced)
        return answered

    network.iq["w:sync:app:state", "set"] = sync


def answer(state: AppState, iq: Node) -> Node:
    """`<sync>` with what became of each collection. Raises IqError for a patch that cannot be taken."""
    asked = iq.find("sync")
    if asked is None:
        raise IqError(400, "bad-request")
    return Node("sync", {}, [_collection(state, collection) for collection in asked.all("collection")])


def _collection(state: AppState, asked: Node) -> Node:
    name, version = asked.attr("name"), int(asked.attr("version") or 0)
    patch = asked.find("patch")
    collection = state.collection(name)
    if patch and version == collection.version:
        try:
            state.accept(name, version, patch.data)
        except BadPatch as error:
            raise IqError(400, str(error)) from error
        return Node("collection", {"name": name, "version": str(collection.version)})
    patches = [Node("patch", content=raw) for raw in collection.since(version)]
    attrs: dict[str, Attribute] = {"name": name, "version": str(collection.version)}
    children = [Node("patches", {}, patches)] if patches else []
    if patch:
        attrs["type"] = "error"
        children.append(Node("error", {"code": "409", "text": "conflict"}))
    return Node("collection", attrs, children)
