"""The matcher finds what the rules say: over random rules and messages, the same as looking at each rule alone."""

import re
from typing import Any

import re2
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from relay.replies import schema
from relay.replies.matching.match import Matcher
from relay.replies.matching.text import normalize
from relay.replies.situation import Contact, Incoming
from tests.unit.bot_situations import Entry, contact, entry, incoming

_WORDS = [
    "oi",
    "Olá",
    "ola",
    "NÃO",
    "nao",
    "pedido",
    "pedito",
    "meu pedido",
    "42",
    "e-mail",
    "👍",
    "a.b",
    "ß",
    "İ",
    "가",
]
_texts = st.lists(st.sampled_from([*_WORDS, " ", "!", "\n", "_", "\u200d", "\u0301", "x"]), max_size=8).map(
    "".join
)
_values = st.one_of(
    st.sampled_from(_WORDS), _texts.filter(bool), st.lists(_texts.filter(bool), min_size=1, max_size=3)
)
_regexes = st.sampled_from(
    ["^oi", "o+l", r"\d+", "pedido$", "(?P<a>n.o)", "(?P<b>p)(?P<c>x)?", ".*", r"\bmeu\b", "É|ã"]
)
_keys: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("equals", "contains", "starts", "ends", "keyword", "fuzzy"), _values),
    "regex": st.one_of(_regexes, st.lists(_regexes, min_size=1, max_size=3)),
    "types": st.lists(st.sampled_from(["text", "image"]), min_size=1),
    "tags": st.sampled_from(["a", "b"]),
    "first_contact": st.booleans(),
    "case": st.booleans(),
    "accents": st.booleans(),
}
_triggers = st.sets(st.sampled_from(sorted(_keys)), max_size=2).flatmap(
    lambda names: st.fixed_dictionaries({name: _keys[name] for name in sorted(names)})
)
_several = st.lists(_triggers, min_size=1, max_size=3)
_whens = st.builds(
    lambda own, lists: {"chats": "any"} | own | lists,
    _triggers,
    st.fixed_dictionaries(
        {},
        optional={
            "any": _several,
            "all": _several,
            "not": _several,
            "always": st.booleans(),
            "chats": st.sampled_from(["private", "group", "mentioned", "any", ["private", "mentioned"]]),
        },
    ),
)
_messages = st.builds(
    incoming,
    _texts,
    type=st.sampled_from(["text", "image"]),
    chat_type=st.sampled_from(["private", "group", "channel"]),
    mentioned=st.booleans(),
)
_contacts = st.builds(contact, tags=st.frozensets(st.sampled_from(["a", "b"])), first=st.booleans())


@settings(max_examples=200, deadline=None)
@example([entry({"keyword": "oi", "accents": True})], incoming("x\u0301oi"), contact())
@given(st.lists(_whens.map(entry), max_size=12), _messages, _contacts)
def test_finds_what_the_rules_say(entries: list[Entry], message: Incoming, who: Contact) -> None:
    """Anchors and sets are a short cut: they leave out no rule that holds and add none; `why` agrees."""
    matcher = Matcher(entries)
    expected = [number for number, one in enumerate(entries) if _holds(one.rule.when, message, who)]
    seen = matcher.look_at(message, who)
    assert [number for number, _groups in matcher.find(seen)] == expected
    assert [number for number in range(len(entries)) if matcher.why(number, seen)[0]] == expected


# --- the rules, read one by one -------------------------------------------------------------------------------------


def _holds(when: schema.When, message: Incoming, who: Contact) -> bool:
    own = _judge(when, message, who)
    kinds = {"any"} | ({message.chat_type} if message.chat_type != "channel" else set())
    if message.chat_type == "group" and message.mentioned:
        kinds.add("mentioned")
    if not kinds & ({when.chats} if isinstance(when.chats, str) else set(when.chats)):
        return False
    inner = [_judge(trigger, message, who) for trigger in when.all or []]
    required = own + [judged for judgements in inner for judged in judgements]
    if not (required or when.any or when.not_ or when.always):
        return False
    return (
        all(required)
        and (when.any is None or any(_all_of(_judge(trigger, message, who)) for trigger in when.any))
        and not any(_all_of(_judge(trigger, message, who)) for trigger in when.not_)
    )


def _all_of(judged: list[bool]) -> bool:
    return bool(judged) and all(judged)


def _judge(trigger: schema.Trigger, message: Incoming, who: Contact) -> list[bool]:
    """Each of its keys."""
    judged = []
    raw = message.text.strip()
    for name in ("equals", "contains", "starts", "ends", "keyword", "regex", "fuzzy"):
        values = getattr(trigger, name)
        if values is not None:
            values = [values] if isinstance(values, str) else values
            judged.append(any(_fits(name, value, raw, trigger) for value in values))
    if trigger.types is not None:
        judged.append(message.type in trigger.types)
    if trigger.tags is not None:
        judged.append(trigger.tags in who.tags)
    if trigger.first_contact is not None:
        judged.append(who.first == trigger.first_contact)
    return judged


def _fits(name: str, value: str, raw: str, trigger: schema.Trigger) -> bool:
    if name == "regex":
        options = re2.Options()
        options.case_sensitive = trigger.case
        return bool(raw) and re2.search(value, raw, options) is not None
    if name == "fuzzy":
        return _is_like(
            _words(normalize(raw, case=False, accents=False)),
            _words(normalize(value, case=False, accents=False)),
        )
    text = normalize(raw, case=trigger.case, accents=trigger.accents)
    value = normalize(value, case=trigger.case, accents=trigger.accents)
    if not value:
        return False
    words = _words(value)
    match name:
        case "equals":
            return text == value
        case "starts":
            return text.startswith(value)
        case "ends":
            return text.endswith(value)
        case "keyword" if words:
            all_words = _words(text)
            places = range(len(all_words) - len(words) + 1)
            return any(all_words[place : place + len(words)] == words for place in places)
        case _:
            return value in text


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def _is_like(text: list[str], phrase: list[str]) -> bool:
    if not phrase or not text:
        return False
    wanted = " ".join(phrase)
    runs = [text, *(text[place : place + len(phrase)] for place in range(len(text) - len(phrase) + 1))]
    likeness = (
        100 * (1 - OSA.distance(wanted, run) / (len(wanted) + len(run))) for run in map(" ".join, runs)
    )
    return any(score >= 85 - 1e-6 for score in likeness)
