"""What a plugin gives back: messages to send, and what is to become of the chat and the contact."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field


class Outgoing(Struct, frozen=True, kw_only=True):
    """A message to be sent. `content` is as `POST /api/v1/whatsapp/send` takes it for `type`."""

    type: str = "text"
    content: Mapping[str, Any]
    quote: bool = False
    """Shown as an answer to the very message."""
    typing_seconds: float = 0
    wait_seconds: float = 0
    """After the message before it."""

    @property
    def text(self) -> str:
        """The words of a text, the caption of a file; "" where there are none."""
        return str(self.content.get("text") or self.content.get("caption") or "")


class Reply(Struct, frozen=True, kw_only=True):
    """An answer; see `reply`, which makes one."""

    messages: tuple[Outgoing, ...] = ()
    handled: bool = True
    """Nobody else is to answer: no other plugin, no agent."""
    handoff: bool = False
    """A person is wanted: the bot keeps quiet in the chat, and the event `automation.handoff` says so."""
    pause_seconds: float | None = None
    """The bot keeps quiet in this chat for so long."""
    set: dict[str, Any] = field(default_factory=dict)
    """Variables of the contact, as rules see them."""
    tag: tuple[str, ...] = ()
    untag: tuple[str, ...] = ()
    result: Any = None
    """Of an action: `{{ plugin }}` in the templates of the rule after it."""


def reply(
    *messages: str | Outgoing,
    quote: bool = False,
    handled: bool = True,
    handoff: bool = False,
    pause_seconds: float | None = None,
    set: Mapping[str, Any] | None = None,
    tag: Sequence[str] = (),
    untag: Sequence[str] = (),
    result: Any = None,
) -> Reply:
    """`reply("Olá!")`; without messages, nothing is said: `reply()` alone keeps everybody quiet."""
    made = tuple(
        Outgoing(content={"text": one}, quote=quote and place == 0) if isinstance(one, str) else one
        for place, one in enumerate(messages)
    )
    return Reply(
        messages=made,
        handled=handled,
        handoff=handoff,
        pause_seconds=pause_seconds,
        set=dict(set or {}),
        tag=_names(tag),
        untag=_names(untag),
        result=result,
    )


def _names(given: Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
