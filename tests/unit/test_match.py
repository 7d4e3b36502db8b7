"""Triggers: which message a rule is for, and what is said where it is not."""

from typing import Any

import pytest

from relay.replies.matching import index as match_index
from relay.replies.matching.match import Matcher, check_regex, digits_of, find_regex
from tests.unit.bot_situations import contact, entry, incoming

HOLDS: dict[str, tuple[dict[str, Any], str]] = {
    "equals": ({"equals": "Olá"}, "  OLA "),
    "equals one of several": ({"equals": ["sim", "ok"]}, "Ok"),
    "contains": ({"contains": "ped"}, "meus PÉDidos"),
    "contains over spaces": ({"contains": "meu pedido"}, "o meu\n\npedido"),
    "starts": ({"starts": "bom dia"}, "Bom dia, tudo bem?"),
    "ends": ({"ends": ["obrigado", "?"]}, "tem pão?"),
    "keyword": ({"keyword": "status"}, "qual o STATUS?"),
    "keyword of several words": ({"keyword": ["x", "meu pedido"]}, "cadê meu, pedido!"),
    "keyword with accents": ({"keyword": "não"}, "nao"),
    "keyword beside an emoji": ({"keyword": "oi"}, "👋oi👋"),
    "keyword with punctuation": ({"keyword": "e-mail"}, "por e mail"),
    "keyword that is an emoji": ({"keyword": "👍"}, "ok👍ok"),
    "keyword beside marks of direction": ({"keyword": "ana"}, "\u2068Ana\u2069"),
    "regex": ({"regex": r"^pedido (\d+)$"}, " Pedido 42 "),
    "regex somewhere": ({"regex": r"\d{3}"}, "código 123!"),
    "one of several regexes": ({"regex": ["x", "y$"]}, "aaaY"),
    "fuzzy": ({"fuzzy": "pedido"}, "quero meu pedito"),
    "fuzzy phrase": ({"fuzzy": ["segunda via"]}, "Preciso da segnda via!"),
    "fuzzy with swapped letters": ({"fuzzy": "boleto"}, "bolteo"),
    "fuzzy, whole text": ({"fuzzy": "bom dia"}, "bomdia"),
    "fuzzy with a low score": ({"fuzzy": {"like": "atendimento", "score": 70}}, "atendento"),
    "case": ({"keyword": "SAIR", "case": True}, "quero SAÍR"),
    "accents": ({"contains": "só", "accents": True}, "SÓ isso"),
    "accents, taken apart": ({"equals": "não", "accents": True}, "na\u0303o"),
    "case and accents": ({"keyword": "Não", "case": True, "accents": True}, "Não, obrigado"),
    "regex with case": ({"regex": "^Oi", "case": True}, "Oi"),
    "all keys": ({"starts": "oi", "ends": "?", "contains": "tudo"}, "oi, tudo bem?"),
    "always": ({"always": True}, "qualquer"),
    "any": ({"any": [{"keyword": "a"}, {"keyword": "b"}]}, "b"),
    "all": ({"all": [{"keyword": "a"}, {"keyword": "b"}]}, "b a"),
    "not": ({"keyword": "a", "not": [{"keyword": "b"}, {"keyword": "c"}]}, "a"),
    "not alone": ({"not": [{"keyword": "b"}]}, "a"),
    "any and keys": ({"keyword": "a", "any": [{"contains": "z"}, {"types": ["text"]}]}, "a"),
}
MISSES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "equals": ({"equals": "oi"}, "oi!", "trigger.equals", 'The text is not "oi".'),
    "contains": (
        {"contains": ["a", "b"]},
        "x",
        "trigger.contains",
        'None of the words "a", "b" is in the text.',
    ),
    "starts": ({"starts": "oi"}, "ooi", "trigger.starts", 'The text does not start with "oi".'),
    "ends": ({"ends": ["a", "b"]}, "ax", "trigger.ends", 'The text does not end with "a" or "b".'),
    "keyword": (
        {"keyword": ["status", "meu pedido"]},
        "statusbar pedido meu",
        "trigger.keyword",
        'None of the keywords "status", "meu pedido" is in the text.',
    ),
    "one keyword": ({"keyword": "oi"}, "oito", "trigger.keyword", '"oi" is not in the text.'),
    "regex": ({"regex": "^a$"}, "ab", "trigger.regex", "The regular expression is not found in the text."),
    "regexes": (
        {"regex": ["^a$", "c"]},
        "ab",
        "trigger.regex",
        "None of the regular expressions is found in the text.",
    ),
    "regex with case": (
        {"regex": "^oi", "case": True},
        "Oi",
        "trigger.regex",
        "The regular expression is not found in the text.",
    ),
    "regex keeps accents": (
        {"regex": "nao"},
        "não",
        "trigger.regex",
        "The regular expression is not found in the text.",
    ),
    "fuzzy": (
        {"fuzzy": ["sim"]},
        "sem",
        "trigger.fuzzy",
        'Nothing in the text is like "sim" by 85 of 100.',
    ),
    "fuzzy in a longer word": (
        {"fuzzy": "casa"},
        "casamento",
        "trigger.fuzzy",
        'Nothing in the text is like "casa" by 85 of 100.',
    ),
    "case": ({"keyword": "SAIR", "case": True}, "sair", "trigger.keyword", '"SAIR" is not in the text.'),
    "accents": ({"keyword": "não", "accents": True}, "nao", "trigger.keyword", '"não" is not in the text.'),
    "one key of two": (
        {"starts": "oi", "ends": "?"},
        "oi",
        "trigger.ends",
        'The text does not end with "?".',
    ),
    "any": (
        {"any": [{"keyword": "a"}, {"types": ["image"]}]},
        "x",
        "trigger.any",
        'None under `any` holds: "a" is not in the text. The message\'s type is not "image".',
    ),
    "all": ({"all": [{"keyword": "a"}, {"keyword": "b"}]}, "a", "trigger.keyword", '"b" is not in the text.'),
    "not": (
        {"always": True, "not": [{"keyword": "x"}, {"keyword": "a", "types": ["text"]}]},
        "a",
        "trigger.not",
        "Number 2 under `not` (keyword, types) holds.",
    ),
    "nothing said": (
        {"chats": "any"},
        "a",
        "trigger.empty",
        "Nothing is said under `when`; `always: true` is for every message.",
    ),
    "empty alternative": ({"any": [{}]}, "a", "trigger.any", "It is empty."),
    "invisible value": (
        {"contains": "\u200b"},
        "a",
        "trigger.contains",
        '"\u200b" is not in the text.',
    ),
}


def _found(matcher: Matcher, text: str) -> list[tuple[int, dict[str, str]]]:
    return list(matcher.find(matcher.look_at(incoming(text), contact())))


def _fires(when: dict[str, Any], text: str = "Olá", **changes: Any) -> bool:
    """Also holds that `why` says the same as `find`."""
    lists = {"vip": frozenset({"5511912345678"})}
    matcher = Matcher([entry(when, lists)])
    who = contact(**changes.pop("who", {}))
    message = incoming(text, **changes)
    seen = matcher.look_at(message, who)
    found = [index for index, _groups in matcher.find(seen)]
    holds, code, detail = matcher.why(0, seen)
    assert holds is bool(found)
    assert code.startswith("trigger.")
    assert (code == "trigger.holds") is holds
    assert detail.endswith(".")
    return bool(found)


@pytest.mark.parametrize(("when", "text"), HOLDS.values(), ids=HOLDS)
def test_holds(when: dict[str, Any], text: str) -> None:
    """A message that the rule is for."""
    assert _fires(when, text)


@pytest.mark.parametrize(("when", "text", "code", "detail"), MISSES.values(), ids=MISSES)
def test_misses_and_says_why(when: dict[str, Any], text: str, code: str, detail: str) -> None:
    """A message that it is not for, with the part that did not hold; in the rule's words, never the customer's."""
    assert not _fires(when, text)
    matcher = Matcher([entry(when)])
    assert matcher.why(0, matcher.look_at(incoming(text), contact())) == (False, code, detail)


CHATS = {
    "private": {"chat_type": "private", "mentioned": False},
    "private, answering": {"chat_type": "private", "mentioned": True},
    "group": {"chat_type": "group", "mentioned": False},
    "mentioned": {"chat_type": "group", "mentioned": True},
    "channel": {"chat_type": "channel", "mentioned": False},
}


@pytest.mark.parametrize("anchored", [True, False], ids=["keyword", "always"])
@pytest.mark.parametrize(
    ("chats", "expected"),
    [
        (None, {"private", "private, answering"}),
        ("private", {"private", "private, answering"}),
        ("group", {"group", "mentioned"}),
        ("mentioned", {"mentioned"}),
        ("any", set(CHATS)),
        (["private", "mentioned"], {"private", "private, answering", "mentioned"}),
    ],
    ids=["default", "private", "group", "mentioned", "any", "two"],
)
def test_chats(chats: Any, expected: set[str], anchored: bool) -> None:
    """Rules are for private chats unless they say otherwise."""
    when: dict[str, Any] = {"keyword": "oi"} if anchored else {"always": True}
    if chats is not None:
        when["chats"] = chats
    assert {name for name, changes in CHATS.items() if _fires(when, "oi", **changes)} == expected


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({"types": ["image", "audio"]}, True),
        ({"types": ["text"]}, False),
        ({"always": True}, True),
        ({"contains": "a"}, False),
        ({"regex": ".*"}, False),
        ({"fuzzy": "aaaa"}, False),
        ({"always": True, "not": [{"regex": ".*"}]}, True),
        ({"any": [{"equals": "a"}, {"types": ["image"]}]}, True),
    ],
    ids=str,
)
def test_no_text(when: dict[str, Any], holds: bool) -> None:
    """A picture without a caption: what asks for a text does not hold, not even a regex that fits nothing."""
    assert _fires(when, "", type="image") is holds


def test_no_text_says_so() -> None:
    """The reason is the missing text, not the words."""
    when = {"types": ["image"], "keyword": "a"}
    matcher = Matcher([entry(when)])
    told = matcher.why(0, matcher.look_at(incoming("", type="image"), contact()))
    assert told == (False, "trigger.no_text", "The message has no text, which `keyword` needs.")


FROM = {
    "the number": ("+55 11 91234-5678", True),
    "without the ninth digit": ("551112345678", True),
    "another": ("5511912345679", False),
    "list": ("vip", True),
    "unknown list": ("team", False),
}


@pytest.mark.parametrize(("value", "holds"), FROM.values(), ids=FROM)
def test_from(value: str, holds: bool) -> None:
    """By number, however it is written, or by the name of a list."""
    assert _fires({"from": value}) is holds
    assert _fires({"from": ["5599999999999", value]}) is holds


def test_from_knows_accounts_without_the_ninth_digit() -> None:
    """WhatsApp knows older Brazilian accounts by eight digits; elsewhere every digit counts."""
    assert _fires({"from": "5511912345678"}, who={"pn": "551112345678"})
    assert _fires({"from": "vip"}, who={"pn": "551112345678"})
    assert not _fires({"from": "4911912345678"}, who={"pn": "491112345678"})
    assert not _fires({"from": "vip"}, who={"pn": None, "lid": "5511912345678"})


def test_tags_and_first_contact() -> None:
    """What is known of the contact."""
    assert _fires({"tags": ["a", "b"]}, who={"tags": frozenset({"b", "c"})})
    assert not _fires({"tags": "a"}, who={"tags": frozenset({"b"})})
    assert _fires({"first_contact": True}, who={"first": True})
    assert not _fires({"first_contact": True})
    assert _fires({"first_contact": False})


def test_order_and_groups() -> None:
    """Rules come in the order they were given in, with the named groups of the first regex found."""
    matcher = Matcher(
        [
            entry({"always": True}),
            entry({"keyword": "nada"}),
            entry({"regex": [r"^x(?P<no>.)", r"(?P<word>\pL+) (?P<order>\d+)(?P<rest> .*)?"]}),
            entry({"any": [{"regex": "(?P<a>pedido)", "types": ["image"]}, {"regex": "(?P<b>Não|pedido)"}]}),
            entry({"keyword": "pedido", "all": [{"regex": r"(?P<digit>\d)"}]}),
        ]
    )
    found = _found(matcher, "Não vi o pedido 42")
    assert found == [
        (0, {}),
        (2, {"word": "pedido", "order": "42"}),
        (3, {"b": "Não"}),
        (4, {"digit": "4"}),
    ]


def test_what_has_changed_meanwhile_is_seen() -> None:
    """A rule's tags are those of the contact when it is its turn."""
    matcher = Matcher(
        [entry({"always": True}), entry({"tags": "vip"}), entry({"keyword": "oi", "tags": "old"})]
    )
    seen = matcher.look_at(incoming("oi"), contact(tags=frozenset({"old"})))
    found = matcher.find(seen)
    assert next(found) == (0, {})
    seen.contact = contact(tags=frozenset({"vip"}))
    assert list(found) == [(1, {})]
    assert [matcher.why(index, seen)[0] for index in range(3)] == [True, True, False]


def test_only_the_beginning_of_a_long_text_counts() -> None:
    """4,096 characters are looked at, of as many as WhatsApp lets people write."""
    assert _fires({"keyword": "fim"}, "a" * 4000 + " fim " + "b" * 60_000)
    assert not _fires({"keyword": "fim"}, "a" * 5000 + " fim")


def test_a_thousand_rules() -> None:
    """More patterns than one set takes; each rule is found by its own word, and by no other."""
    matcher = Matcher([entry({"keyword": f"palavra{number}"}) for number in range(2500)])
    for number in (0, 999, 1000, 2499):
        assert _found(matcher, f"a palavra{number}!") == [(number, {})]


@pytest.mark.parametrize("set_bytes", [16 << 20, 1 << 18, 1 << 16], ids=["enough", "halves", "one by one"])
def test_patterns_that_are_too_much_for_a_set(monkeypatch: pytest.MonkeyPatch, set_bytes: int) -> None:
    """Where RE2's memory does not suffice for a set, smaller ones do, or each pattern is looked for alone."""
    monkeypatch.setattr(match_index, "_SET_BYTES", set_bytes)
    heavy = [rf"[a-m].{{{number}}}[n-z]\d" for number in range(300, 316)]
    matcher = Matcher([entry({"regex": pattern}) for pattern in [*heavy, "^fim"]])
    # 313 characters before the z, each of which may be the first.
    found = [index for index, _groups in _found(matcher, "fim" + "a" * 310 + "z7")]
    assert found == [*range(13), len(heavy)]


def test_a_regex_that_is_none_is_in_no_text() -> None:
    """A set that was stored when the bounds were others: its rule is silent, those beside it are not."""
    matcher = Matcher(
        [entry({"regex": ["(", "a{900}{9}"]}), entry({"not": [{"regex": "("}]}), entry({"regex": "a"})]
    )
    assert [index for index, _groups in _found(matcher, "a(" * 2000)] == [1, 2]


def test_huge_regexes_look_at_less() -> None:
    """What a message costs is bounded, however many expressions there are: together they look at fewer characters."""
    huge = [rf"[a-m].{{{number}}}[n-z]" for number in range(450, 500)]
    few, many = Matcher([entry({"regex": "fim$"})]), Matcher([entry({"regex": ["fim$", *huge]})])
    assert [len(_found(one, "9" * 2000 + "fim")) for one in (few, many)] == [1, 0]
    assert [len(_found(one, "9" * 90 + "fim")) for one in (few, many)] == [1, 1]


REFUSED = {
    "look-ahead": ("(?=a)", "back references"),
    "back reference": (r"(a)\1", "back references"),
    "bracket": ("(a", "missing"),
    "too long": ("a" * 1001, "1,000"),
    "too large": (r"\pL{1,10}", "too large"),
    "much too large": (r"(\pL{50}){10}", "too large"),
    "repetition": ("a{2000}", "not valid"),
}


@pytest.mark.parametrize(("pattern", "says"), REFUSED.values(), ids=REFUSED)
def test_check_regex_refuses(pattern: str, says: str) -> None:
    """What RE2 cannot do, or only with much memory, is said when the rule is written."""
    sentence = check_regex(pattern, case=False)
    assert sentence is not None
    assert says in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("pattern", ["(a+)+$", r"^pedido (?P<order>\d+)$", "(?i)ação", r"\Qa.b", "a" * 1000])
def test_check_regex_takes(pattern: str) -> None:
    """What is fine to check is fine to match with, in a set and alone."""
    assert check_regex(pattern, case=True) is None
    assert Matcher([entry({"regex": pattern})])._index._sets[0][1]._compiled is not None


def test_find_regex_and_digits() -> None:
    """One pattern, without a matcher."""
    assert find_regex(r"^(?P<day>\d\d)/(?P<month>\d\d)$", " 24/12 ") == {"day": "24", "month": "12"}
    assert find_regex("ABC", "xabcx") == {}
    assert find_regex("ABC", "xabcx", case=True) is None
    assert digits_of("+55 (11) 91234-5678") == "5511912345678"
