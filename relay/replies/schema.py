"""The YAML of a rule set, as strict structs; `parse.py` makes them, with line and sentence for what is wrong.

    rule set ─┬─ rules:  when (which messages) ─► if (under which conditions) ─► do (actions, in order)
              ├─ flows:  steps that ask, and go on with the answer
              └─ tests:  messages given, answers expected

Keys are as people write them; `Duration` is seconds, written `30s`, `2h`, `1h30m` or a bare number of seconds.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field


class Duration(float):
    """Seconds."""


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A mapping whose keys are all known."""


Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
"""Of rules, flows, steps, templates, variables."""
Text = Annotated[str, Meta(min_length=1, max_length=4096)]
Texts = Text | Annotated[list[Text], Meta(min_length=1, max_length=500)]
"""One or several, of which any will do."""
Clock = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ChatKind = Literal["private", "group", "mentioned", "any"]
"""`mentioned`: a group's message that mentions the account or answers it."""


class Fuzzy(Section, frozen=True, kw_only=True):
    """Like one of these, spelling mistakes allowed."""

    like: Texts
    score: Annotated[float, Meta(ge=50, le=100)] = 85
    """How alike, of 100."""


class Trigger(Section, frozen=True, kw_only=True):
    """What a message may be; every key that is given must hold. Case and accents do not matter unless asked for."""

    equals: Texts | None = None
    contains: Texts | None = None
    starts: Texts | None = None
    ends: Texts | None = None
    keyword: Texts | None = None
    """Whole words, anywhere in the text."""
    regex: Texts | None = None
    """RE2, found anywhere in the text as it was written; named groups become `match`."""
    fuzzy: Texts | Fuzzy | None = None
    case: bool = False
    """Capitals matter. A regex ignores case unless this is true."""
    accents: bool = False
    """Accents matter, for all but regex, where they always do."""
    types: Annotated[list[str], Meta(min_length=1)] | None = None
    from_: Texts | None = field(default=None, name="from")
    """Phone numbers, or names of `lists`."""
    tags: Texts | None = None
    """The contact has one of these."""
    first_contact: bool | None = None
    """The first message of this chat ever."""


class When(Trigger, frozen=True, kw_only=True):
    """Which messages a rule is for: its own keys, and the lists below."""

    chats: ChatKind | list[ChatKind] = "private"
    any: Annotated[list[Trigger], Meta(min_length=1)] | None = None
    all: Annotated[list[Trigger], Meta(min_length=1)] | None = None
    not_: list[Trigger] = field(default_factory=list, name="not")
    """None of these."""
    always: bool = False


class Time(Section, frozen=True, kw_only=True):
    """`after` 22:00 `before` 06:00 is the night; the weekday is then the one that the night began on."""

    after: Clock | None = None
    before: Clock | None = None
    weekday: list[Weekday] | None = None
    holiday: bool | None = None
    """True: on holidays only; false: never on holidays (see `holidays` of the set)."""
    timezone: str | None = None


class Comparison(Section, frozen=True, kw_only=True):
    """Of a variable; every key that is given must hold."""

    exists: bool | None = None
    equals: Any = None
    not_: Any = field(default=None, name="not")
    above: float | None = None
    below: float | None = None
    in_: list[Any] | None = field(default=None, name="in")
    contains: str | None = None


class Condition(Section, frozen=True, kw_only=True):
    """One of the list `if`; every key that is given must hold."""

    time: Time | None = None
    vars: dict[Name, Any] | None = None
    """By name: the value, or a `Comparison`."""
    tags: Texts | None = None
    """The contact has one of these."""
    first_contact: bool | None = None
    session: Texts | None = None
    """Ids or names."""
    percentage: Annotated[float, Meta(ge=0, le=100)] | None = None
    """Of contacts; always the same ones."""
    cooldown: Duration | None = None
    """The rule has not fired for this contact for so long."""
    plugin: dict[str, Any] | None = None
    """A plugin's condition by name, with its arguments: `{business.open: {desk: sales}}`."""
    any: Annotated[list["Condition"], Meta(min_length=1)] | None = None
    not_: "Condition | None" = field(default=None, name="not")


class MediaReply(Section, frozen=True, kw_only=True):
    """A file, by an address or by the id of one that was uploaded."""

    url: Text | None = None
    media_id: Text | None = field(default=None, name="mediaId")
    type: Literal["image", "audio", "video", "document", "sticker"] = "image"
    caption: Text | None = None
    file_name: Text | None = field(default=None, name="fileName")
    voice: bool = False


class PollReply(Section, frozen=True, kw_only=True):
    question: Annotated[str, Meta(min_length=1, max_length=255)]
    options: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(min_length=2, max_length=12)
    ]
    selectable: Annotated[int, Meta(ge=1)] = 1


class ChoicesReply(Section, frozen=True, kw_only=True):
    """A list to choose from, shown as numbered text: buttons do not render on every phone."""

    options: Annotated[list[Text], Meta(min_length=1, max_length=30)]
    footer: Text | None = None


class Reply(Section, frozen=True, kw_only=True):
    """`text` or `template`, and at most one of `media`, `poll`, `choices`."""

    text: Text | None = None
    template: Name | None = None
    media: MediaReply | None = None
    poll: PollReply | None = None
    choices: ChoicesReply | None = None
    quote: bool = False
    """Answer the very message, which is shown above the answer."""


class AgentAction(Section, frozen=True, kw_only=True):
    name: str
    debounce: Duration = Duration(4)
    """Messages that follow each other so quickly become one question; at most 1m."""
    fallback: Text | None = None
    """Sent where the agent fails; without one, the agent's own."""


class HttpAction(Section, frozen=True, kw_only=True):
    """A call whose answer is `{{ http.status }}`, `{{ http.json }}`, `{{ http.text }}`, or under the name in `as`."""

    url: Text
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, Text] = field(default_factory=dict)
    body: Any = None
    """Sent as JSON, templates within it rendered."""
    timeout: Duration = Duration(5)
    as_: Name = field(default="http", name="as")
    otherwise: list["Action"] | None = field(default=None, name="else")
    """Done where the call fails or answers 400 or above; the actions after it are then left out."""


class HandoffAction(Section, frozen=True, kw_only=True):
    """The bot keeps quiet in this chat, and `automation.handoff` says that a person is wanted."""

    pause: Duration | None = None
    note: Text | None = None
    """For whoever takes over; part of the event."""


class EmitAction(Section, frozen=True, kw_only=True):
    """An event `automation.event` with this name."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
    data: dict[str, Any] = field(default_factory=dict)


class PluginAction(Section, frozen=True, kw_only=True):
    """A plugin's action by name, as `faq.answer`."""

    name: str
    with_: dict[str, Any] = field(default_factory=dict, name="with")


class Action(Section, frozen=True, kw_only=True):
    """One step of `do`: exactly one key."""

    reply: Text | Reply | None = None
    typing: Duration | None = None
    """Shown before the next reply."""
    wait: Duration | None = None
    """Before the next reply; ten minutes at most."""
    set: dict[Name, Any] | None = None
    """Variables of the contact; templates are rendered."""
    unset: Texts | None = None
    tag: Texts | None = None
    untag: Texts | None = None
    flow: Name | None = None
    """Start this flow."""
    goto: Name | None = None
    """A step of this flow, or another flow; `end` ends it."""
    agent: str | AgentAction | None = None
    plugin: str | PluginAction | None = None
    http: HttpAction | None = None
    handoff: bool | HandoffAction | None = None
    pause: Duration | None = None
    """The bot keeps quiet in this chat for so long."""
    resume: bool | None = None
    emit: str | EmitAction | None = None
    stop: bool | None = None
    """Nothing after this, and no other rule."""
    continue_: bool | None = field(default=None, name="continue")
    """After this rule, look at those below it as well."""


class Rule(Section, frozen=True, kw_only=True):
    id: Name
    description: str = ""
    enabled: bool = True
    shadow: bool = False
    """Decides and records, sends nothing."""
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 1
    """Higher first; of equals, the one that stands first."""
    interrupts: bool = False
    """Asked before a running flow, too. The flow's question stays open unless the rule hands off or starts another."""
    when: When
    if_: list[Condition] = field(default_factory=list, name="if")
    do: Annotated[list[Action], Meta(min_length=1, max_length=50)]
    cooldown: Duration | None = None
    """Instead of the set's `defaults.cooldown`."""


Branch = str | Action | list[Action]
"""A step, a flow, `handoff`, `end`; or actions."""


class Validate(Section, frozen=True, kw_only=True):
    """What an answer has to be; every key that is given must hold."""

    type: Literal["number", "integer", "email", "phone", "date", "text"] | None = None
    regex: Text | None = None
    min: float | None = None
    max: float | None = None


class Step(Section, frozen=True, kw_only=True):
    """Asks and waits for the answer; without `ask` it only does."""

    id: Name | None = None
    ask: Text | Reply | None = None
    capture: Name | None = None
    """The answer becomes this variable."""
    match: dict[str, Branch] | None = None
    """By answer, `'1|sales'` for several; numbers and words, case and accents ignored."""
    validate: Validate | None = None
    retry: Annotated[int, Meta(ge=0, le=10)] = 2
    """How often an answer that does not fit is asked for again."""
    retry_text: Text | None = None
    """Said instead of asking again in the same words."""
    else_: Branch | None = field(default=None, name="else")
    """After the last retry; without it the flow ends and rules look at the message. `rules`: they look at it, and the
    question stays open."""
    do: list[Action] = field(default_factory=list)
    """Once the answer fits (or at once, without `ask`); templates see it."""


class Flow(Section, frozen=True, kw_only=True):
    description: str = ""
    expire: Duration = Duration(1800)
    """Without an answer for so long it ends."""
    cancel: list[Text] = field(default_factory=list)
    """Words that end it."""
    cancel_text: Text | None = None
    steps: Annotated[list[Step], Meta(min_length=1, max_length=100)]


class Defaults(Section, frozen=True, kw_only=True):
    timezone: str = "America/Sao_Paulo"
    language: str = "pt-BR"
    cooldown: Duration = Duration(0)
    """A rule does not fire again for the same contact for so long, where all it does is answer: one that hands to an
    agent, a flow or a person is not held back."""
    pause: Duration = Duration(7200)
    """After a handoff."""
    remember: Duration = Duration(90 * 86_400)
    """How long variables are kept."""


class Holidays(Section, frozen=True, kw_only=True):
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$")] | None = None
    state: str | None = None
    dates: list[Annotated[str, Meta(pattern=r"^(\d{4}-)?\d{2}-\d{2}$")]] = field(default_factory=list)
    """`2026-12-24`, or `12-24` every year."""


class Given(Section, frozen=True, kw_only=True):
    """A message, and what was before it."""

    text: str = ""
    type: str = "text"
    content: dict[str, Any] = field(default_factory=dict)
    """What the message holds besides, as webhooks have it: `{latitude: -23.55, longitude: -46.63}`."""
    at: datetime | None = None
    """Without an offset, in the set's time zone; left out: a Monday at noon."""
    chat: Literal["private", "group", "mentioned"] = "private"
    from_: str = field(default="+55 11 91234-5678", name="from")
    name: str = "Maria"
    session: str | None = None
    vars: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    first_contact: bool = False
    http: Any = None
    """What every HTTP call answers, as JSON; `{status: 500}` alone: that it fails."""


class Expect(Section, frozen=True, kw_only=True):
    """What is given must be so; `…` in a reply stands for anything."""

    rule: str | None = None
    """The first that fired; empty: none."""
    flow: str | None = None
    step: str | None = None
    replies: list[str] | None = None
    vars: dict[str, Any] | None = None
    """Of the contact afterwards, or of the match."""
    tags: list[str] | None = None
    handoff: bool | None = None
    agent: str | None = None
    events: list[str] | None = None


class Turn(Section, frozen=True, kw_only=True):
    given: Given
    expect: Expect


class Test(Section, frozen=True, kw_only=True):
    """One message, or a conversation in `turns`."""

    __test__ = False  # no test of pytest's

    name: str
    given: Given | None = None
    expect: Expect | None = None
    turns: list[Turn] | None = None


class RuleSet(Section, frozen=True, kw_only=True):
    version: Literal[1]
    description: str = ""
    enabled: bool = True
    shadow: bool = False
    """Decides and records, sends nothing."""
    tenants: list[str] | None = None
    """Ids or names, `*` for all; in the operator's files only, and needed there."""
    sessions: list[str] = field(default_factory=list)
    """Ids or names; none: all."""
    defaults: Defaults = Defaults()
    holidays: Holidays = Holidays()
    lists: dict[Name, list[str]] = field(default_factory=dict)
    """Phone numbers by the list's name."""
    templates: dict[Name, Text] = field(default_factory=dict)
    rules: Annotated[list[Rule], Meta(max_length=2000)] = field(default_factory=list)
    flows: dict[Name, Flow] = field(default_factory=dict)
    tests: list[Test] = field(default_factory=list)
