"""What a decision comes to, and what it may have to ask for on the way. Data only.

    decide(situation, book) ──► Need … (an answer is sent back in) … ──► Outcome

A decision is a generator that touches nothing: whoever drives it does what it needs, and writes what it came to.
"""

from collections.abc import Generator, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field, structs

from relay.replies.situation import Contact, FlowState


class Cause(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Why the bot said something; kept with the message (`automation` on the wire)."""

    rule_set: str | None = None
    version: int | None = None
    """Of the rule set; None for an operator's file."""
    rule: str | None = None
    flow: str | None = None
    step: str | None = None
    agent: str | None = None
    plugin: str | None = None
    message_id: str | None = None
    """The message that is answered."""


class Planned(Struct, frozen=True, kw_only=True):
    """A message to be sent. `content` is as the API takes it for `type`; a file given by `url` is fetched first."""

    type: str
    content: dict[str, Any]
    quote: bool = False
    typing_seconds: float = 0
    wait_seconds: float = 0
    """After the one before it."""
    cause: Cause


class Times(Struct, frozen=True):
    due_at: datetime | None
    """Not sent, nor typed, before; None: at once."""
    out_at: datetime
    """Sent, where nothing stands before it in the queue."""


def times_of(messages: Iterable[Planned], now: datetime) -> Iterator[Times]:
    """When each of an answer's messages goes out."""
    due_at, out_at = None, now
    for one in messages:
        if one.wait_seconds:
            # After the one before it, which may have been typed meanwhile.
            due_at = out_at = out_at + timedelta(seconds=one.wait_seconds)
        out_at += timedelta(seconds=one.typing_seconds)
        yield Times(due_at, out_at)


class AgentTurn(Struct, frozen=True, kw_only=True):
    """The message is an agent's to answer."""

    agent: str
    debounce_seconds: float
    fallback: str | None = None
    cause: Cause


class Emitted(Struct, frozen=True, kw_only=True):
    """An event for the tenant: `automation.handoff`, `.paused`, `.resumed`, or `.event`."""

    type: str
    data: dict[str, Any]


Verdict = Literal["guarded", "flow", "rules", "plugin", "agent", "none"]


class Note(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One line of the explanation: what was looked at, and how it came out."""

    rule_set: str | None = None
    rule: str | None = None
    flow: str | None = None
    step: str | None = None
    fired: bool = False
    code: str
    """`guard.paused`, `trigger.no_match`, `condition.time`, `fired` …"""
    detail: str
    """A sentence for people."""


class Outcome(Struct, kw_only=True):
    """Collected while deciding. What is None or empty stays as it is."""

    verdict: Verdict = "none"
    cause: Cause = Cause()
    """What answered first."""
    messages: list[Planned] = field(default_factory=list)
    shadow: list[Planned] = field(default_factory=list)
    """What shadow rules would have sent."""
    shadow_causes: list[Cause] = field(default_factory=list)
    fired: list[Cause] = field(default_factory=list)
    set: dict[str, Any] = field(default_factory=dict)
    """Variables, rendered."""
    remember_seconds: float = 90 * 86_400
    unset: list[str] = field(default_factory=list)
    tag: list[str] = field(default_factory=list)
    untag: list[str] = field(default_factory=list)
    flow: FlowState | None = None
    end_flow: bool = False
    cooldowns: dict[str, datetime] = field(default_factory=dict)
    """Rules that fired, by `set/rule`, with the instant until which that is remembered."""
    pause_until: datetime | None = None
    resume: bool = False
    takeover: bool = False
    """A person answered: what the bot has queued in this chat is taken back, an agent's turn ends."""
    agent: AgentTurn | None = None
    stop_agent: bool = False
    events: list[Emitted] = field(default_factory=list)
    match: dict[str, str] = field(default_factory=dict)
    """The named groups of the regex that matched."""
    notes: list[Note] = field(default_factory=list)

    def tag_with(self, tags: Iterable[str]) -> None:
        self.tag += tags
        self.untag = [tag for tag in self.untag if tag not in self.tag]

    def untag_from(self, tags: Iterable[str]) -> None:
        self.untag += tags
        self.tag = [tag for tag in self.tag if tag not in self.untag]

    def contact_after(self, contact: Contact) -> Contact:
        """With the variables and tags as they are by now; the same one where nothing has changed."""
        if not (self.set or self.unset or self.tag or self.untag):
            return contact
        kept = {name: value for name, value in contact.vars.items() if name not in self.unset}
        tags = (contact.tags | set(self.tag)) - set(self.untag)
        return structs.replace(contact, vars=kept | self.set, tags=tags)


# --- needs --------------------------------------------------------------------------------------------------------


class HttpCall(Struct, frozen=True, kw_only=True):
    """Answered with HttpAnswer."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any
    timeout_seconds: float
    key: str
    """The same when a crash makes the call happen again: sent as Idempotency-Key."""


class HttpAnswer(Struct, frozen=True, kw_only=True):
    """`error`: a sentence, where there was no answer."""

    status: int = 0
    text: str = ""
    json: Any = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.error is None and 200 <= self.status < 400


class OfPlugins(Struct, frozen=True, kw_only=True):
    """What plugins are asked on the way to an answer."""

    contact: Contact
    """As it is by now: what rules have done before is seen."""


class AskCondition(OfPlugins, frozen=True, kw_only=True):
    """A plugin's condition; answered with True or False (also where the plugin failed)."""

    name: str
    arguments: dict[str, Any]


class AskAction(OfPlugins, frozen=True, kw_only=True):
    """A plugin's action; answered with PluginAnswer."""

    name: str
    arguments: dict[str, Any]


class AskPlugins(OfPlugins, frozen=True, kw_only=True):
    """No rule has answered: do plugins? Answered with PluginAnswer."""


class PluginAnswer(Struct, frozen=True, kw_only=True):
    """What a plugin wants done; nothing where it failed."""

    plugin: str | None = None
    """The one that answered."""
    messages: list[Planned] = field(default_factory=list)
    set: dict[str, Any] = field(default_factory=dict)
    tag: list[str] = field(default_factory=list)
    untag: list[str] = field(default_factory=list)
    handled: bool = False
    """Nobody else is to answer."""
    handoff: bool = False
    pause_seconds: float | None = None
    result: Any = None
    """Of an action: `{{ plugin }}` in the templates after it."""


class BeforeReply(Struct, frozen=True, kw_only=True):
    """Plugins may change or drop what is about to be sent; answered with `list[Planned]`.

    They see the contact as it was when the message came: what says goodbye to somebody is still said.
    """

    messages: list[Planned]


Need: TypeAlias = HttpCall | AskCondition | AskAction | AskPlugins | BeforeReply
Decision: TypeAlias = Generator[Need, Any, Outcome]
