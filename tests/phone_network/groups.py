"""Groups: who is in, what they are called, who may change it; and the notifications by which members' devices hear of it.

The same changes come from the tests (a person renames a group) and from clients (iq/groups.py), so both go through here:

    group = groups.create(anna, "Team", [ben, our_account])
    groups.rename(group, anna, "The team")
"""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from tests.phone_network.accounts import Account
from tests.phone_network.node import Attribute, Jid, Node
from tests.phone_network.profiles import Picture

Tell = Callable[[Account, Node], None]
Role = Literal["", "admin", "superadmin"]


class NoSuchGroup(Exception):
    pass


class NotAllowed(Exception):
    """Not a member, or not an admin where only admins may."""


@dataclass
class Member:
    account: Account
    role: Role = ""

    def node(self, addressing_mode: str) -> Node:
        if addressing_mode == "lid":
            attrs: dict[str, Attribute] = {"jid": self.account.lid, "phone_number": self.account.pn}
        else:
            attrs = {"jid": self.account.pn, "lid": self.account.lid}
        return Node("participant", {**attrs, "type": self.role})


@dataclass
class Group:
    """One group, as its members see it."""

    jid: Jid
    subject: str
    creator: Account
    created_at: int
    subject_by: Account
    subject_set_at: int
    addressing_mode: Literal["lid", "pn"] = "lid"
    members: dict[Jid, Member] = field(default_factory=dict)
    """By phone number."""
    description: str = ""
    description_id: str = ""
    announce: bool = False
    """Only admins write."""
    locked: bool = False
    """Only admins change the group."""
    ephemeral_seconds: int = 0
    invite_code: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    picture: Picture | None = None

    def member(self, account: Account) -> Member:
        """Raises NotAllowed for somebody else."""
        try:
            return self.members[account.pn]
        except KeyError:
            raise NotAllowed("not a member of this group") from None

    def address(self, account: Account) -> Jid:
        """How this group calls somebody."""
        return account.lid if self.addressing_mode == "lid" else account.pn

    def node(self) -> Node:
        """`<group>`, as queries and the invitation to it carry it."""
        attrs: dict[str, Attribute] = {
            "id": self.jid.user,
            "creator": self.address(self.creator),
            "creator_pn": self.creator.pn,
            "creation": str(self.created_at),
            "subject": self.subject,
            "s_o": self.address(self.subject_by),
            "s_o_pn": self.subject_by.pn,
            "s_t": str(self.subject_set_at),
            "addressing_mode": self.addressing_mode,
            "size": str(len(self.members)),
        }
        children = [member.node(self.addressing_mode) for member in self.members.values()]
        if self.description:
            body = Node("body", content=self.description.encode())
            children.append(
                Node("description", {"id": self.description_id, "t": str(self.created_at)}, [body])
            )
        children += [
            Node(tag) for tag, on in (("announcement", self.announce), ("locked", self.locked)) if on
        ]
        if self.ephemeral_seconds:
            children.append(Node("ephemeral", {"expiration": str(self.ephemeral_seconds)}))
        return Node("group", attrs, children)


class Groups:
    """All groups. Every change tells every member's linked devices; `tell` takes a stanza to one account's."""

    def __init__(self, tell: Tell, clock: Callable[[], float]) -> None:
        self._tell = tell
        self._clock = clock
        self._groups: dict[Jid, Group] = {}
        self._ids = count(120_363_000_000_000_001)

    def get(self, jid: Jid) -> Group:
        """Raises NoSuchGroup."""
        try:
            return self._groups[jid]
        except KeyError:
            raise NoSuchGroup(str(jid)) from None

    def get_by_invite(self, code: str) -> Group:
        """Raises NoSuchGroup."""
        for group in self._groups.values():
            if group.invite_code == code:
                return group
        raise NoSuchGroup(code)

    def list_of(self, account: Account) -> list[Group]:
        return [group for group in self._groups.values() if account.pn in group.members]

    def create(
        self,
        creator: Account,
        subject: str,
        others: Iterable[Account] = (),
        *,
        addressing_mode: Literal["lid", "pn"] = "lid",
        jid: Jid | None = None,
    ) -> Group:
        now = int(self._clock())
        jid = jid or Jid(str(next(self._ids)), "g.us")
        group = Group(jid, subject, creator, now, creator, now, addressing_mode)
        group.members = {account.pn: Member(account) for account in (creator, *others)}
        group.members[creator.pn].role = "superadmin"
        self._groups[jid] = group
        self._notify(group, creator, Node("create", {"type": "new"}, [group.node()]))
        return group

    def add(self, group: Group, by: Account, accounts: Iterable[Account]) -> None:
        """Those who join hear of the whole group, the others of them."""
        joining = [account for account in accounts if account.pn not in group.members]
        if not joining:
            return
        earlier = list(group.members.values())
        group.members |= {account.pn: Member(account) for account in joining}
        news = self._participants("add", group, [group.members[account.pn] for account in joining])
        for member in earlier:
            self._tell(member.account, self._notification(group, by, news))
        for account in joining:
            created = Node("create", {"reason": "invite"}, [group.node()])
            self._tell(account, self._notification(group, by, created))

    def remove(self, group: Group, by: Account, accounts: Iterable[Account]) -> None:
        """Those who leave hear of it too."""
        leaving = [group.member(account) for account in accounts]
        node = self._notification(group, by, self._participants("remove", group, leaving))
        for member in group.members.values():
            self._tell(member.account, node)
        for member in leaving:
            del group.members[member.account.pn]

    def set_role(self, group: Group, by: Account, accounts: Iterable[Account], role: Role) -> None:
        members = [group.member(account) for account in accounts]
        for member in members:
            member.role = role
        self._notify(group, by, self._participants("promote" if role else "demote", group, members))

    def rename(self, group: Group, by: Account, subject: str) -> None:
        group.subject, group.subject_by, group.subject_set_at = subject, by, int(self._clock())
        said: dict[str, Attribute] = {
            "subject": subject,
            "s_t": str(group.subject_set_at),
            "s_o": group.address(by),
            "s_o_pn": by.pn,
        }
        self._notify(group, by, Node("subject", said))

    def describe(self, group: Group, by: Account, description: str, description_id: str) -> None:
        """An empty description takes it away."""
        group.description, group.description_id = description, description_id
        content = Node("body", content=description.encode()) if description else Node("delete")
        self._notify(group, by, Node("description", {"id": description_id}, [content]))

    def set_announce(self, group: Group, by: Account, *, only_admins: bool) -> None:
        group.announce = only_admins
        tag = "announcement" if only_admins else "not_announcement"
        self._notify(group, by, Node(tag, {"v_id": str(int(self._clock()))}))

    def set_locked(self, group: Group, by: Account, *, only_admins: bool) -> None:
        group.locked = only_admins
        self._notify(group, by, Node("locked" if only_admins else "unlocked"))

    def set_ephemeral(self, group: Group, by: Account, seconds: int) -> None:
        group.ephemeral_seconds = seconds
        node = Node("ephemeral", {"expiration": str(seconds)}) if seconds else Node("not_ephemeral")
        self._notify(group, by, node)

    def _participants(self, tag: str, group: Group, members: list[Member]) -> Node:
        return Node(tag, {}, [member.node(group.addressing_mode) for member in members])

    def _notification(self, group: Group, by: Account, change: Node) -> Node:
        attrs: dict[str, Attribute] = {
            "from": group.jid,
            "type": "w:gp2",
            "id": secrets.token_hex(8).upper(),
            "t": str(int(self._clock())),
            "participant": group.address(by),
            "participant_pn": by.pn,
            "addressing_mode": group.addressing_mode,
            "notify": by.name,
        }
        return Node("notification", attrs, [change])

    def _notify(self, group: Group, by: Account, change: Node) -> None:
        node = self._notification(group, by, change)
        for member in list(group.members.values()):
            self._tell(member.account, node)
