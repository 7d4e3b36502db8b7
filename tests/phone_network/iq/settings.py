"""What an account says about itself: about, privacy, whom it blocks, to whom it gives privacy tokens."""

import json
from typing import TYPE_CHECKING, Any

from tests.phone_network.connection import IqError
from tests.phone_network.node import Jid, Node
from tests.phone_network.profiles import PRIVACY, Profile

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp
    from tests.phone_network.services import Services

SET_ABOUT = "9152604461510864"
"""The number under which the client asks for the mutation of the about text; these queries go by number."""


def register(network: "WhatsApp", services: "Services") -> None:
    def profile(connection: "Connection") -> Profile:
        return services.profiles.of(connection.account)

    async def get_privacy(connection: "Connection", _: Node) -> Node:
        return privacy(profile(connection))

    async def set_privacy(connection: "Connection", iq: Node) -> Node | None:
        if tokens := iq.find("tokens"):
            profile(connection).trusted += [token.jid("jid") for token in tokens.all("token")]
            return None
        set_categories(profile(connection), iq)
        return privacy(profile(connection))

    async def query(connection: "Connection", iq: Node) -> Node:
        return set_about(profile(connection), iq, services.clock())

    async def get_status_privacy(_: "Connection", __: Node) -> Node:
        return Node("privacy", {}, [Node("list", {"type": "contacts", "default": "true"})])

    async def get_blocked(connection: "Connection", _: Node) -> Node:
        return blocked(profile(connection))

    async def set_blocked(connection: "Connection", iq: Node) -> Node:
        item = iq.find("item")
        if item is None:
            raise IqError(400, "bad-request")
        block(profile(connection), item.jid("jid").account, on=item.attr("action") == "block")
        return blocked(profile(connection))

    network.iq["privacy", "get"] = get_privacy
    network.iq["privacy", "set"] = set_privacy
    network.iq["w:mex", "get"] = query
    network.iq["status", "get"] = get_status_privacy
    network.iq["blocklist", "get"] = get_blocked
    network.iq["blocklist", "set"] = set_blocked


def privacy(profile: Profile) -> Node:
    categories = [Node("category", {"name": name, "value": value}) for name, value in profile.privacy.items()]
    return Node("privacy", {}, categories)


def set_categories(profile: Profile, iq: Node) -> None:
    """Raises IqError for a category that there is not."""
    sent = iq.find("privacy")
    for category in sent.all("category") if sent else []:
        if category.attr("name") not in PRIVACY:
            raise IqError(400, "bad-request")
        profile.privacy[category.attr("name")] = category.attr("value")


def set_about(profile: Profile, iq: Node, now: float) -> Node:
    """The one GraphQL query that is answered. Raises IqError for the others."""
    asked = iq.find("query")
    if asked is None or asked.attr("query_id") != SET_ABOUT:
        raise IqError(400, "bad-request")
    variables: dict[str, Any] = json.loads(asked.data)["variables"]
    profile.about, profile.about_set_at = variables["input"]["text"] or "", now
    return Node("result", {}, b'{"data":{"xwa2_update_text_status":{"result":"SUCCESS"}}}')


def blocked(profile: Profile) -> Node:
    items = [Node("item", {"jid": jid}) for jid in profile.blocked]
    return Node("list", {"dhash": str(len(profile.blocked))}, items)


def block(profile: Profile, jid: Jid, *, on: bool) -> None:
    profile.blocked = [other for other in profile.blocked if other != jid] + ([jid] if on else [])
