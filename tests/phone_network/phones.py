"""Virtual people: each holds the phone of an account, and writes, reads, reacts and answers with it.

    people = open_post_office(network, services)             # see post.py
    anna = people.new("5511988887777", "Anna")
    said = await anna.say(account, text="hello")             to an account, that is to its linked clients
    await anna.say(group, image=b"…", caption="look")        to a group
    await anna.react(said, "👍")
    got = await anna.inbox.first()                           what clients wrote to her
    anna.read(got)                                           their read receipt; that of delivery goes by itself

Every account has such a phone, the one under test too: `people.of(account)` is its owner, and what the owner writes
reaches the account's linked clients as written elsewhere.

    say ─► Letter ─► into the inboxes of the chat's other phones
                 └─► courier: encrypted for each linked client ─► network.deliver
    client's stanza ─► post ─► take: decrypted ─► inbox, receipt of delivery
                                     └─ cannot be read ─► a receipt that asks for it again, if `asks_for_retry`
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.phone_network import contents, history
from tests.phone_network.accounts import Account, Device
from tests.phone_network.courier import Courier, Letter
from tests.phone_network.envelopes import Mode, Route
from tests.phone_network.groups import Group
from tests.phone_network.inbox import Inbox, Posted, Receipt
from tests.phone_network.key_nodes import bundle_nodes, registration_node
from tests.phone_network.media_cipher import open_sealed
from tests.phone_network.node import Attribute, Jid, Node
from tests.phone_network.poll_votes import open_vote, seal_vote
from tests.phone_network.reading import Opened, open_encs
from tests.phone_network.signal.device import SignalDevice
from tests.phone_network.signal.errors import Undecryptable
from tests.phone_network.signal.keys import PreKeyBundle

if TYPE_CHECKING:
    from tests.phone_network.people import People

BURST = 25
"""Messages of a burst between two looks at what the clients say."""


class Person:
    """Somebody with a phone."""

    def __init__(self, people: "People", account: Account) -> None:
        self.account = account
        self.signal = SignalDevice(account.keys)
        self.inbox: Inbox[Posted] = Inbox()
        """What others wrote, and what clients linked to this phone's account did."""
        self.receipts: Inbox[Receipt] = Inbox()
        """What clients said about this phone's messages."""
        self.lost: Inbox[str] = Inbox()
        """The ids of messages that could not be read, each time that one came."""
        self.asks_for_retry = True
        """Whether the phone asks for what it cannot read; otherwise that is lost."""
        self.answers_retries = True
        """Whether a client that asks for a message again gets it."""
        self.acknowledges = True
        """Whether receipts of delivery go out."""
        self._people = people
        self._courier = Courier(people.network, self.signal)
        # Of all that it said or got, by id.
        self._routes: dict[str, Route] = {}
        self._asked: dict[str, int] = {}

    @property
    def pn(self) -> Jid:
        return self.account.pn

    @property
    def lid(self) -> Jid:
        return self.account.lid

    @property
    def name(self) -> str:
        return self.account.name

    # --- writing -------------------------------------------------------------------------------------------------

    async def say(
        self,
        to: "Addressee",
        *,
        message: Any = None,
        reply_to: Posted | None = None,
        mentions: Sequence[Jid] = (),
        view_once: bool = False,
        mode: Mode | None = None,
        garbled: bool = False,
        withheld: bool = False,
        **what: Any,
    ) -> Posted:
        """Write something: `text="…"`, `voice=b"…"`, `poll=("Lunch?", ["yes", "no"])` and so on (see contents.py).

        `message` is a whole `waE2E.Message` instead. `mode` is by which name everybody is called: by LID, or as the
        group does it. What is `garbled` cannot be read until it is asked for again; of what is `withheld` linked clients
        hear only that it exists, as of most view-once messages.
        """
        message = message or contents.compose(self._people.media, **what)
        message = contents.about(message, reply_to=reply_to, mentions=mentions)
        message = contents.view_once(message) if view_once else message
        route = Route(self.account, *self._people.chat(to, mode))
        return self._post(route, message, garbled=garbled, withheld=withheld)

    async def say_many(
        self, to: "Addressee", count: int, *, words: str = "message", mode: Mode | None = None
    ) -> list[Posted]:
        """A burst of numbered texts."""
        route = Route(self.account, *self._people.chat(to, mode))
        said = []
        for number in range(count):
            said.append(self._post(route, contents.text(f"{words} {number}")))
            if number % BURST == BURST - 1:
                await asyncio.sleep(0)
        return said

    async def react(self, to: Posted, emoji: str) -> Posted:
        """An empty emoji takes it back."""
        return self._about(to, lambda key: contents.reaction(key, emoji))

    async def edit(self, said: Posted, words: str) -> Posted:
        return self._about(said, lambda key: contents.edit(key, words))

    async def revoke(self, said: Posted) -> Posted:
        return self._about(said, contents.revoke)

    async def vote(self, poll: Posted, *options: str) -> Posted:
        """Without options: take the vote back."""
        voter = self._answer(poll).sender
        return self._about(
            poll, lambda key: seal_vote(key, poll.secret, author=poll.sender, voter=voter, options=options)
        )

    def _about(self, posted: Posted, compose: Callable[[Any], Any]) -> Posted:
        route = self._answer(posted)
        return self._post(route, compose(contents.key_of(posted, is_group=isinstance(route.to, Group))))

    def _answer(self, posted: Posted) -> Route:
        """The way back into the chat of a message that this phone said or got."""
        route = self._routes[posted.id]
        is_theirs = not isinstance(route.to, Group) and route.author is not self.account
        return Route(self.account, route.author if is_theirs else route.to, route.mode)

    def _post(self, route: Route, message: Any, *, garbled: bool = False, withheld: bool = False) -> Posted:
        letter = Letter(secrets.token_hex(16).upper(), route, message, self._people.now())
        self._routes[letter.id] = route
        for reader in route.readers:
            if reader is not self.account:
                self._people.of(reader).get(route, letter.id, message)
        if withheld:
            self._courier.announce(letter)
        else:
            self._courier.carry(letter, garbled=garbled)
        return Posted(letter.id, route.chat(self.account), route.sender.account, message, from_me=True)

    def tell_clients(self, message: Any) -> str:
        """Something between the phone and its own linked clients, which is in no chat. Gives the message's id."""
        letter = Letter(
            secrets.token_hex(16).upper(),
            Route(self.account, self.account, "pn"),
            message,
            self._people.now(),
            {"category": "peer"},
        )
        self._courier.carry(letter)
        return letter.id

    def send_history(self, said: "Mapping[Person, Sequence[str]]") -> str:
        """Hand over to linked clients what others said before. Gives the message's id."""
        return self.tell_clients(history.notification(self._people.media, said, now=int(self._people.now())))

    def send_again(self, id: str, device: Device, bundle: PreKeyBundle, count: int) -> None:
        """A client asks for a message of this phone, and gives keys for a new session."""
        if self.answers_retries:
            self._courier.carry_again(id, device, bundle, count)

    # --- reading -------------------------------------------------------------------------------------------------

    def get(self, route: Route, id: str, message: Any) -> None:
        """Another phone wrote something: no client has a part in it."""
        self._routes[id] = route
        self.inbox.put(Posted(id, route.chat(self.account), route.sender.account, message))

    def take(self, route: Route, id: str, device: Device, encs: Sequence[Node]) -> None:
        """A client wrote something: read it, and tell the client so, or ask for it again."""
        if id in self._routes:
            self._acknowledge(route, id)
            return
        group = str(route.to.jid) if isinstance(route.to, Group) else ""
        try:
            opened = open_encs(self.signal, str(device.jid), group, encs)
        except Undecryptable:
            self.lost.put(id)
            if self.asks_for_retry:
                self._ask_again(route, id, device)
            return
        if opened:
            self._routes[id] = route
            self.inbox.put(self._posted(route, id, opened))
            self._acknowledge(route, id)

    def _posted(self, route: Route, id: str, opened: Opened) -> Posted:
        chat = opened.destination or route.chat(self.account)
        is_own = route.author is self.account
        return Posted(
            id, chat, route.sender.account, opened.message, from_me=is_own, retries=self._asked.get(id, 0)
        )

    def _acknowledge(self, route: Route, id: str) -> None:
        if self.acknowledges and route.author is not self.account:
            self._people.answer(route.author, self._receipt(route, id))

    def _ask_again(self, route: Route, id: str, device: Device) -> None:
        count = self._asked[id] = self._asked.get(id, 0) + 1
        bundle = self.signal.keys.bundle()
        asked: dict[str, Attribute] = {"count": str(count), "id": id, "t": self._people.now(), "v": "1"}
        nodes = [Node("retry", asked), registration_node(bundle), Node("keys", {}, bundle_nodes(bundle))]
        self._people.network.deliver(device, self._receipt(route, id, "retry", nodes))

    def lose_keys(self) -> None:
        """As a phone that was restored from before it knew anybody: no session, nobody's sender key."""
        self.signal.sessions.clear()
        self.signal.sender_keys.clear()

    def read(self, *posted: Posted, type: str = "read") -> None:
        """Tell the writer that these messages, of one writer, were read (or `played`), and one's own clients too."""
        first, *others = posted
        items = [Node("item", {"id": other.id}) for other in others]
        listed = [Node("list", {}, items)] if items else None
        route = self._routes[first.id]
        self._people.answer(route.author, self._receipt(route, first.id, type, listed))
        own = self._receipt(route, first.id, f"{type}-self", listed)
        if not isinstance(route.to, Group):
            own.attrs["recipient"] = route.chat(self.account)
        self._people.answer(self.account, own)

    def _receipt(self, route: Route, id: str, type: str = "", content: list[Node] | None = None) -> Node:
        attrs: dict[str, Attribute] = {**route.receipt_attrs(self.account), "id": id, "t": self._people.now()}
        return Node("receipt", attrs | ({"type": type} if type else {}), content)

    async def open_media(self, posted: Posted) -> bytes:
        """Download and decrypt a message's file. Raises UnreadableFile or FileNotFoundError."""
        part, kind = contents.file_of(posted.message)
        status, _, blob = await self._people.media.handle("GET", part.directPath, {}, b"")
        if status != 200:
            raise FileNotFoundError(f"the media host answers {status}")
        return open_sealed(blob, part.mediaKey, kind)

    def open_vote(self, vote: Posted, poll: Posted) -> list[str]:
        """For which options somebody voted."""
        creation = contents.poll_of(poll.message)
        options = [option.optionName for option in creation.options]
        return open_vote(vote.message, poll.secret, author=poll.sender, voter=vote.sender, options=options)


Addressee: TypeAlias = Account | Person | Group
