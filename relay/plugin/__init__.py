"""All that a plugin imports of Relay; docs/plugins.md shows each with an example.

from relay.plugin import Contact, Context, Message, hook, reply

@hook
async def message_received(message: Message, contact: Contact, context: Context):
    if message.text.lower() == "ping":
        return reply("pong")
"""

from relay.plugin.answers import Outgoing, Reply, reply
from relay.plugin.hooks import Abilities, Tool, action, condition, hook, tool
from relay.plugin.seen import Contact, Context, Message, SentMessage, SessionChange, WebhookEvent
from relay.plugin.storage import Storage, StorageFull
from relay.plugin.words import fold, likeness

__all__ = [
    "Abilities",
    "Contact",
    "Context",
    "Message",
    "Outgoing",
    "Reply",
    "SentMessage",
    "SessionChange",
    "Storage",
    "StorageFull",
    "Tool",
    "WebhookEvent",
    "action",
    "condition",
    "fold",
    "hook",
    "likeness",
    "reply",
    "tool",
]
