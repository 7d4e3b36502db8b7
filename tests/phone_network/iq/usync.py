"""`usync`: what somebody is, by phone number, address or LID.

The client lists users and says what it wants to know of each; every question has its own tag in the answer. Numbers
that nobody has are answered too, as `out`.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from tests.phone_network.accounts import Account
from tests.phone_network.node import Attribute, Jid, Node
from tests.phone_network.profiles import FindAccount, Profile, Profiles

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp
    from tests.phone_network.services import Services


def register(network: "WhatsApp", services: "Services") -> None:
    async def usync(_: "Connection", iq: Node) -> Node:
        return answer(iq.children[0], services.find, services.profiles, services.spellings)

    network.iq["usync", "get"] = usync


def answer(
    question: Node, find: FindAccount, profiles: Profiles, spellings: Mapping[str, str] = MappingProxyType({})
) -> Node:
    """`<usync>` with the list filled in, from the one with the questions."""
    asked, users = question.find("query"), question.find("list")
    questions = asked.children if asked else []
    found = [_user(user, questions, find, profiles, spellings) for user in (users.children if users else [])]
    kept = {
        name: question.attrs[name]
        for name in ("sid", "mode", "context", "index", "last")
        if question.attr(name)
    }
    return Node("usync", kept, [Node("list", {}, found)])


def _user(
    user: Node, questions: list[Node], find: FindAccount, profiles: Profiles, spellings: Mapping[str, str]
) -> Node:
    contact = user.find("contact")
    by_number = contact is not None and "jid" not in user.attrs
    asked = Jid(_digits(contact.data)) if contact and by_number else user.jid("jid").account
    if by_number:
        asked = Jid(spellings.get(asked.user, asked.user))
    account = find(asked)
    attrs: dict[str, Attribute] = {"jid": asked}
    if account and by_number:
        by_lid = any(question.attr("addressing_mode") == "lid" for question in questions)
        attrs = {"jid": account.lid if by_lid else account.pn, "pn_jid": account.pn}
    answers = [_contact(contact, account)] if contact and by_number else []
    if account:
        profile = profiles.of(account)
        known = (ANSWERS[question.tag](account, profile) for question in questions if question.tag in ANSWERS)
        answers += [node for node in known if node]
    return Node("user", attrs, answers)


def _contact(contact: Node, account: Account | None) -> Node:
    return Node("contact", {"type": "in" if account else "out"}, contact.data)


def _devices(account: Account, _: Profile) -> Node:
    devices = [Node("device", {"id": str(id_)}) for id_ in sorted({0, *account.devices})]
    return Node("devices", {}, [Node("device-list", {}, devices)])


def _lid(account: Account, _: Profile) -> Node:
    return Node("lid", {"val": account.lid})


def _about(_: Account, profile: Profile) -> Node:
    return Node("status", {"t": str(int(profile.about_set_at))}, profile.about.encode())


def _picture(_: Account, profile: Profile) -> Node | None:
    return Node("picture", {"id": profile.picture.id}) if profile.picture else None


def _disappearing_mode(_: Account, __: Profile) -> Node:
    return Node("disappearing_mode", {"duration": "0", "t": "0"})


ANSWERS: dict[str, Callable[[Account, Profile], Node | None]] = {
    "devices": _devices,
    "lid": _lid,
    "status": _about,
    "picture": _picture,
    "disappearing_mode": _disappearing_mode,
}


def _digits(text: bytes) -> str:
    """`+5511999998888@c.us` and the like."""
    return re.sub(r"\D", "", text.decode().partition("@")[0])
