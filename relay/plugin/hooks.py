"""The hooks that a plugin may implement, and the marks that say so.

    @hook                 a function named as one of the hooks below
    @condition("open")    `plugin: {business.open: {…}}` among a rule's conditions, where the plugin is `business`
    @action("answer")     `plugin: faq.answer` among a rule's actions
    @tool(…)              something that an agent may call

A function takes only those arguments of its hook that it names, and may be `async` or not: one that is not runs in a
thread of its own, and cannot use `context.storage`, which is awaited.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import pluggy
from msgspec import Struct

from relay.plugin.answers import Outgoing, Reply
from relay.plugin.seen import Contact, Context, Message, SentMessage, SessionChange, WebhookEvent

Function = TypeVar("Function", bound=Callable[..., Any])

hook = pluggy.HookimplMarker("relay")
_spec = pluggy.HookspecMarker("relay")

MARK = "__relay_mark__"


class Mark(Struct, frozen=True, kw_only=True):
    """What a decorated function is: a condition, an action or a tool."""

    kind: str
    name: str
    description: str = ""
    parameters: Mapping[str, Any] | None = None


class Abilities(Struct, frozen=True, kw_only=True):
    """What the plugins that run can be asked."""

    conditions: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()
    answers: bool = False
    """One of them looks at messages."""
    edits: bool = False
    """One of them looks at answers before they are sent."""


class Tool(Struct, frozen=True, kw_only=True):
    """Something that an agent may call, for one tenant."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of an object."""
    call: Callable[[dict[str, Any]], Awaitable[str]]
    """Never raises: where the plugin fails, the words say so to the model."""


def condition(name: str) -> Callable[[Function], Function]:
    """Mark `(arguments, message, contact, context) -> bool` as the condition `plugin.name`."""
    return _marker(Mark(kind="condition", name=name))


def action(name: str) -> Callable[[Function], Function]:
    """Mark `(arguments, message, contact, context) -> Reply | str | None` as the action `plugin.name`."""
    return _marker(Mark(kind="action", name=name))


def tool(name: str, *, description: str, parameters: Mapping[str, Any]) -> Callable[[Function], Function]:
    """Mark `(arguments, context) -> str` as a tool that agents know as `plugin_name`."""
    return _marker(Mark(kind="tool", name=name, description=description, parameters=parameters))


def _marker(mark: Mark) -> Callable[[Function], Function]:
    def put(function: Function) -> Function:
        setattr(function, MARK, mark)
        return function

    return put


ARGUMENTS = {
    "condition": frozenset({"arguments", "message", "contact", "context"}),
    "action": frozenset({"arguments", "message", "contact", "context"}),
    "tool": frozenset({"arguments", "context"}),
}
"""What a marked function may take."""


class Hooks:
    """Every hook, with all the arguments that it may take."""

    @_spec
    def message_received(
        self, message: Message, contact: Contact, context: Context[Any]
    ) -> Reply | str | None:
        """No rule has answered a message: does the plugin? The first one whose answer is `handled` ends it."""

    @_spec
    def before_reply(
        self, message: Message, contact: Contact, messages: list[Outgoing], context: Context[Any]
    ) -> list[Outgoing] | None:
        """The bot is about to say `messages`: give others, none (`[]`), or None to leave them as they are."""

    @_spec
    def after_reply(
        self, message: Message, contact: Contact, messages: list[Outgoing], context: Context[Any]
    ) -> None:
        """What the bot said to `message` is stored, and goes out."""

    @_spec
    def message_sent(self, message: SentMessage, context: Context[Any]) -> None:
        """WhatsApp has taken a message, the bot's or another. At least once for each."""

    @_spec
    def session_status(self, session: SessionChange, context: Context[Any]) -> None:
        """A session's status changed. At least once for each change."""

    @_spec
    def webhook_payload(self, event: WebhookEvent, context: Context[Any]) -> dict[str, Any] | None:
        """The `data` to send to an endpoint instead of `event.data`, or None to leave it as it is."""

    @_spec
    def delete_contact(self, contact_id: str, context: Context[Any]) -> None:
        """A contact was deleted: forget all that is known of it elsewhere. Asked again until it does not fail."""
