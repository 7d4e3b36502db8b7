"""Trying a plugin without a server: no database, no WhatsApp, a clock of the test's own.

    pytest_plugins = ["relay.plugin.testing"]          # in conftest.py

    async def test_says_pong(load_plugin):
        plugin = load_plugin("plugins/ping.py", settings={"word": "ping"})
        answer = await plugin.receives("ping")
        assert answer.texts == ["pong"]

What a plugin throws reaches the test, with its trace. Settings and hooks are checked as the server does it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from msgspec import Struct, field, structs

from relay.plugin import answering, asking
from relay.plugin.answers import Outgoing, Reply
from relay.plugin.asking import Asked
from relay.plugin.calling import Caller
from relay.plugin.hooks import Tool
from relay.plugin.loading import Part, assemble, import_file, make_plugin
from relay.plugin.seen import Contact, Context, Message, SentMessage, SessionChange, WebhookEvent
from relay.plugin.storage import MemoryStorage

TENANT = "ten_test"
AT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
"""A Monday at noon."""
MARIA = Contact(id="ctc_maria", name="Maria", phone="5511912345678")


class Answer(Struct, frozen=True, kw_only=True):
    """What a plugin did with a message, and what the contact sees of it."""

    handled: bool = False
    messages: list[Outgoing] = field(default_factory=list)
    handoff: bool = False
    pause_seconds: float | None = None
    result: Any = None

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]


class TriedPlugin:
    """A plugin at work in a test. `contact` changes as the plugin tags and sets; `now` is the test's to move."""

    def __init__(self, name: str, module: Any, settings: Mapping[str, Any]) -> None:
        self.now = AT
        self.contact = MARIA
        self.module = module
        self.storage = MemoryStorage(lambda: self.now)
        self._messages = 0
        self._caller = _Strict([make_plugin(name, module, settings)], self)

    def pass_time(self, **amount: float) -> None:
        """`plugin.pass_time(hours=3)`: as if so long had passed."""
        self.now += timedelta(**amount)

    # --- messages -----------------------------------------------------------------------------------------------

    async def receives(self, text: str = "", *, contact: Contact | None = None, **given: Any) -> Answer:
        """A message that no rule has answered; `given` are other fields of Message."""
        asked = self._asked(text, contact, given)
        answered = await asking.ask_message_received(self._caller, asked)
        return self._take(answered.reply)

    async def act(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, text: str = "", **given: Any
    ) -> Answer:
        """A rule's `plugin: name`, for a message with this text."""
        self._known(name, self._caller.loaded.actions)
        asked = self._asked(text, None, given)
        answered = await asking.ask_action(self._caller, name, asked, dict(arguments or {}))
        return self._take(answered.reply)

    async def holds(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, text: str = "", **given: Any
    ) -> bool:
        """A rule's condition."""
        self._known(name, self._caller.loaded.conditions)
        asked = self._asked(text, None, given)
        return await asking.ask_condition(self._caller, name, asked, dict(arguments or {}))

    async def before_reply(self, *texts: str | Outgoing, text: str = "", **given: Any) -> list[str]:
        """What is left of what the bot is about to say, once the plugin has seen it."""
        messages = [Outgoing(content={"text": one}) if isinstance(one, str) else one for one in texts]
        left, _ = await asking.ask_before_reply(self._caller, self._asked(text, None, given), messages)
        return [message.text for message in left]

    async def after_reply(self, *texts: str, text: str = "", **given: Any) -> None:
        messages = [Outgoing(content={"text": one}) for one in texts]
        await asking.tell_after_reply(self._caller, self._asked(text, None, given), messages)

    # --- everything else ----------------------------------------------------------------------------------------

    async def sent(self, **given: Any) -> None:
        fields: dict[str, Any] = {"id": "msg_1", "session_id": "ses_test", "chat": "", "type": "text"}
        await self._tell("message_sent", message=SentMessage(**{**fields, "at": self.now, **given}))

    async def session(self, status: str, reason: str | None = None) -> None:
        change = SessionChange(id="ses_test", status=status, reason=reason, at=self.now)
        await self._tell("session_status", session=change)

    async def delete_contact(self, contact_id: str = MARIA.id) -> None:
        await self._tell("delete_contact", contact_id=contact_id)
        self.storage.forget(contact_id)

    async def payload(self, type: str, data: dict[str, Any]) -> dict[str, Any]:
        """The data that an endpoint gets."""
        event = WebhookEvent(id="evt_1", type=type, timestamp=self.now, data=data, endpoint_id="ep_1")
        changed = await asking.filter_payload(self._caller, event, tenant_id=TENANT, session_id=None)
        return data if changed is None else changed

    @property
    def tools(self) -> dict[str, Tool]:
        found = asking.list_tools(self._caller, tenant_id=TENANT, session_id="ses_test")
        return {tool.name: tool for tool in found}

    # --- inside -------------------------------------------------------------------------------------------------

    async def _tell(self, hook: str, **given: Any) -> None:
        for part in self._caller.hooks(hook, TENANT):
            await self._caller.call(
                part, tenant_id=TENANT, session_id="ses_test", check=answering.as_nothing, given=given
            )

    def _known(self, name: str, parts: Mapping[str, Part]) -> None:
        if name not in parts:
            raise LookupError(f"There is no {name}; there are: {', '.join(parts) or 'none'}.")

    def _asked(self, text: str, contact: Contact | None, given: Mapping[str, Any]) -> Asked:
        if contact is not None:
            self.contact = contact
        self._messages += 1
        fields: dict[str, Any] = {
            "id": f"msg_{self._messages}",
            "session_id": "ses_test",
            "chat": f"{self.contact.phone}@s.whatsapp.net",
            "chat_type": "private",
            "type": "text",
            "content": {"text": text},
            "sender_name": self.contact.name,
            "mentioned": False,
            "at": self.now,
        }
        message = Message(**{**fields, "text": text, **given})
        return Asked(tenant_id=TENANT, message=message, contact=self.contact)

    def _take(self, reply: Reply) -> Answer:
        tags = (self.contact.tags | set(reply.tag)) - set(reply.untag)
        self.contact = structs.replace(self.contact, tags=tags, vars=self.contact.vars | reply.set)
        return Answer(
            handled=reply.handled,
            messages=list(reply.messages),
            handoff=reply.handoff,
            pause_seconds=reply.pause_seconds,
            result=reply.result,
        )


class _Strict(Caller):
    """Calls without a breaker or a time limit; what goes wrong is the test's to see."""

    def __init__(self, plugins: Sequence[Any], tried: TriedPlugin) -> None:
        super().__init__(
            assemble(plugins), storage=lambda _tenant, _plugin: tried.storage, timeout_seconds=60
        )
        self._tried = tried

    async def call(
        self, part: Part, *, check: Callable[[Any], Any], given: dict[str, Any], **whose: Any
    ) -> Any:
        context = Context(
            settings=self.loaded.plugins[0].settings,
            storage=self._tried.storage,
            log=self._states[part.plugin].log,
            now=self._tried.now,
            **whose,
        )
        arguments = {
            name: value for name, value in (given | {"context": context}).items() if name in part.takes
        }
        if part.is_async:
            return check(await part.function(**arguments))
        return check(await asyncio.to_thread(part.function, **arguments))


def load(plugin: str | Path | ModuleType, settings: Mapping[str, Any] | None = None) -> TriedPlugin:
    """A plugin by its file, or a module (or any object with its functions). Raises ConfigError, as the start does."""
    if isinstance(plugin, str | Path):
        path = Path(plugin).absolute()
        return TriedPlugin(path.stem, import_file(path.stem, path), settings or {})
    name = cast("str", getattr(plugin, "__name__", "plugin")).rpartition(".")[2]
    return TriedPlugin(name, plugin, settings or {})


@pytest.fixture
def load_plugin() -> Callable[..., TriedPlugin]:
    """See `load`."""
    return load
