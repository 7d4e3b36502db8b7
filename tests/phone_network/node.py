"""A stanza: what the two sides of a WhatsApp connection say to each other, as a tree of tags."""

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Jid:
    """An address: `5511999998888@s.whatsapp.net`, `…:2@lid` (its second device), `…@g.us`, or a server alone."""

    user: str
    server: str = "s.whatsapp.net"
    device: int = 0

    def __str__(self) -> str:
        user = f"{self.user}:{self.device}" if self.device else self.user
        return f"{user}@{self.server}" if user else self.server

    @classmethod
    def parse(cls, text: str) -> "Jid":
        user, at, server = text.rpartition("@")
        if not at:
            return cls("", text)
        name, _, device = user.partition(":")
        return cls(name, server, int(device or 0))

    @property
    def account(self) -> "Jid":
        """The same without its device."""
        return Jid(self.user, self.server)


Attribute: TypeAlias = str | Jid


@dataclass
class Node:
    """A tag with its attributes, and either bytes or children below it."""

    tag: str
    attrs: dict[str, Attribute] = field(default_factory=dict)
    content: "bytes | list[Node] | None" = None

    def attr(self, name: str) -> str:
        """An attribute as text; empty when it is not there."""
        return str(self.attrs.get(name, ""))

    def jid(self, name: str) -> Jid:
        """An attribute as an address. Raises KeyError when it is not there."""
        value = self.attrs[name]
        return value if isinstance(value, Jid) else Jid.parse(value)

    @property
    def children(self) -> "list[Node]":
        return self.content if isinstance(self.content, list) else []

    @property
    def data(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else b""

    def all(self, tag: str) -> "list[Node]":
        """The children with that tag."""
        return [child for child in self.children if child.tag == tag]

    def find(self, *path: str) -> "Node | None":
        """The first child along a path of tags."""
        node: Node | None = self
        for tag in path:
            node = next(iter(node.all(tag)), None) if node else None
        return node
