"""`w:g2`: what groups a client is in, who else is, and changing them.

A question to one group is addressed to it, one about groups at large to `g.us`; the only child says what is wanted.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.phone_network.accounts import Account
from tests.phone_network.connection import IqError
from tests.phone_network.groups import Group, Groups, Member, NoSuchGroup, NotAllowed, Role
from tests.phone_network.node import Node
from tests.phone_network.profiles import FindAccount

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp
    from tests.phone_network.services import Services

ROLES: dict[str, Role] = {"promote": "admin", "demote": ""}


def register(network: "WhatsApp", services: "Services") -> None:
    async def get(connection: "Connection", iq: Node) -> Node:
        return ask(services.groups, connection.account, iq)

    async def change(connection: "Connection", iq: Node) -> Node | None:
        by = connection.account
        try:
            return Changes(services.groups, services.find, by).apply(iq)
        except NoSuchGroup:
            raise IqError(404, "item-not-found") from None
        except NotAllowed:
            raise IqError(403, "forbidden") from None

    network.iq["w:g2", "get"] = get
    network.iq["w:g2", "set"] = change


def ask(groups: Groups, account: Account, iq: Node) -> Node:
    """Raises IqError where there is no such group, or the client is not in it."""
    asked = iq.children[0]
    try:
        if asked.tag == "participating":
            return Node("groups", {}, [group.node() for group in groups.list_of(account)])
        if asked.tag == "invite" and asked.attr("code"):
            return groups.get_by_invite(asked.attr("code")).node()
        group = groups.get(iq.jid("to"))
        group.member(account)
    except NoSuchGroup:
        raise IqError(404, "item-not-found") from None
    except NotAllowed:
        raise IqError(403, "forbidden") from None
    if asked.tag == "query":
        return group.node()
    if asked.tag == "invite":
        return Node("invite", {"code": group.invite_code})
    raise IqError(400, "bad-request")


class Changes:
    """What one account may do to groups."""

    def __init__(self, groups: Groups, find: FindAccount, by: Account) -> None:
        self._groups = groups
        self._find = find
        self._by = by

    def apply(self, iq: Node) -> Node | None:
        """Raises NoSuchGroup, NotAllowed, and IqError for what is not done here."""
        asked = iq.children[0]
        if asked.tag == "create":
            others = self._accounts(asked.all("participant"))
            return (self._groups.create(self._by, asked.attr("subject"), others)).node()
        if asked.tag == "leave":
            for node in asked.all("group"):
                self._groups.remove(self._groups.get(node.jid("id")), self._by, [self._by])
            return Node("leave", {}, [Node("group", {"id": node.jid("id")}) for node in asked.all("group")])
        if asked.tag == "invite" and asked.attr("code"):
            group = self._groups.get_by_invite(asked.attr("code"))
            self._groups.add(group, self._by, [self._by])
            return Node("group", {"jid": group.jid})
        group = self._groups.get(iq.jid("to"))
        changes = {
            "add": self._members,
            "remove": self._members,
            "promote": self._members,
            "demote": self._members,
        } | dict.fromkeys(SETTINGS, self._setting)
        if asked.tag not in changes:
            raise IqError(400, "bad-request")
        return changes[asked.tag](group, asked)

    def _members(self, group: Group, asked: Node) -> Node:
        """Who cannot be found is answered with an error beside the others."""
        self._check(group, only_admins=asked.tag != "add" or group.locked)
        nodes = asked.all("participant")
        accounts = self._accounts(nodes)
        done = [Member(account, ROLES.get(asked.tag, "")).node(group.addressing_mode) for account in accounts]
        unknown = [node for node in nodes if not self._find(node.jid("jid").account)]
        done += [Node("participant", {"jid": node.jid("jid"), "error": "404"}) for node in unknown]
        if asked.tag == "add":
            self._groups.add(group, self._by, accounts)
        elif asked.tag == "remove":
            self._groups.remove(group, self._by, accounts)
        else:
            self._groups.set_role(group, self._by, accounts, ROLES[asked.tag])
        return Node(asked.tag, {}, done)

    def _setting(self, group: Group, asked: Node) -> None:
        self._check(group, only_admins=group.locked or asked.tag not in ("subject", "description"))
        SETTINGS[asked.tag](self._groups, group, self._by, asked)

    def _check(self, group: Group, *, only_admins: bool) -> None:
        if only_admins and not group.member(self._by).role:
            raise NotAllowed("only admins may do this")
        group.member(self._by)

    def _accounts(self, nodes: list[Node]) -> list[Account]:
        found = [self._find(node.jid("jid").account) for node in nodes]
        return [account for account in found if account]


def _describe(groups: Groups, group: Group, by: Account, asked: Node) -> None:
    body = asked.find("body")
    groups.describe(group, by, body.data.decode() if body else "", asked.attr("id"))


Setting = Callable[[Groups, Group, Account, Node], None]
SETTINGS: dict[str, Setting] = {
    "subject": lambda groups, group, by, asked: groups.rename(group, by, asked.data.decode()),
    "description": _describe,
    "announcement": lambda groups, group, by, _: groups.set_announce(group, by, only_admins=True),
    "not_announcement": lambda groups, group, by, _: groups.set_announce(group, by, only_admins=False),
    "locked": lambda groups, group, by, _: groups.set_locked(group, by, only_admins=True),
    "unlocked": lambda groups, group, by, _: groups.set_locked(group, by, only_admins=False),
    "ephemeral": lambda groups, group, by, asked: groups.set_ephemeral(
        group, by, int(asked.attr("expiration"))
    ),
    "not_ephemeral": lambda groups, group, by, _: groups.set_ephemeral(group, by, 0),
}
