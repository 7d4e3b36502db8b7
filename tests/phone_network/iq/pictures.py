"""`w:profile:picture`: pictures of people and groups: where they lie, and setting one's own."""

from typing import TYPE_CHECKING

from tests.phone_network.connection import IqError
from tests.phone_network.groups import Group, NoSuchGroup
from tests.phone_network.node import Node
from tests.phone_network.profiles import NotAnImage, Picture

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp
    from tests.phone_network.services import Services


def register(network: "WhatsApp", services: "Services") -> None:
    def group_of(connection: "Connection", iq: Node) -> Group | None:
        """The group that is meant. Raises IqError for one that the client is not in."""
        if "target" not in iq.attrs or iq.jid("target").server != "g.us":
            return None
        try:
            group = services.groups.get(iq.jid("target"))
        except NoSuchGroup:
            raise IqError(404, "item-not-found") from None
        if connection.account.pn not in group.members:
            raise IqError(401, "not-authorized")
        return group

    async def get(connection: "Connection", iq: Node) -> Node:
        if group := group_of(connection, iq):
            return describe(iq, group.picture)
        account = services.find(iq.jid("target").account) if "target" in iq.attrs else connection.account
        return describe(iq, services.profiles.of(account).picture if account else None)

    async def put(connection: "Connection", iq: Node) -> Node | None:
        sent = iq.find("picture")
        try:
            picture = services.profiles.picture(sent.data) if sent else None
        except NotAnImage:
            raise IqError(406, "not-acceptable") from None
        if group := group_of(connection, iq):
            group.picture = picture
        else:
            services.profiles.of(connection.account).picture = picture
        return Node("picture", {"id": picture.id}) if picture else None

    network.iq["w:profile:picture", "get"] = get
    network.iq["w:profile:picture", "set"] = put


def describe(iq: Node, picture: Picture | None) -> Node:
    """`<picture>` for who asks; status 304 for who has it already. Raises IqError where there is none."""
    asked = iq.find("picture")
    if picture is None:
        raise IqError(404, "item-not-found")
    if asked and asked.attr("id") == picture.id:
        return Node("picture", {"status": "304"})
    return Node(
        "picture",
        {
            "id": picture.id,
            "type": asked.attr("type") if asked else "image",
            "url": picture.stored.url,
            "direct_path": picture.stored.direct_path,
        },
    )
