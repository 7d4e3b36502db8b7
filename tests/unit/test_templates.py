"""Templates: what people write with them, and that no template costs more than its bounds."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from relay.model.errors import RelayError
from relay.replies import schema
from relay.replies.contents import NAMES, text_of
from relay.replies.matching.hours import Calendar
from relay.replies.templates.render import TemplateFailed, Templates, check, values_of
from tests.unit.bot_situations import MONDAY_NOON, contact, incoming, situation

_CALENDAR = Calendar(schema.Defaults(), schema.Holidays())


def _values(
    *,
    language: str = "pt-BR",
    answers: Mapping[str, Any] | None = None,
    now: datetime = MONDAY_NOON,
    **who: Any,
) -> dict[str, Any]:
    given = {
        "vars": {"order": 42, "city": "São Paulo", "name": "in vars", "none": None},
        "tags": frozenset({"b", "a"}),
    }
    return values_of(
        situation(message=incoming("Pedido 42"), who=contact(**given | who), now=now),
        calendar=_CALENDAR,
        match={"order": "0042"},
        answers=answers or {},
        language=language,
    )


_ITEMS = [{"name": "Pão", "price": 2.5, "count": 4}, {"name": "Bolo", "price": "1.030,00", "count": 1}]
RENDERED = {
    "plain": ("Olá! {x} 100% # {", "Olá! {x} 100% # {"),
    "contact": ("{{ contact.name }}|{{ contact.first_name }}|{{ contact.phone }}", "Maria Silva|Maria|5511912345678"),
    "tags": ("{{ contact.tags }} {{ contact.tags|length }}", "a, b 2"),
    "vars": ("{{ vars.order }} {{ order }} {{ city|upper }}", "42 42 SÃO PAULO"),
    "taken names stay": ("{{ session.name }} {{ message.type }}", "Loja São João text"),
    "session": ("{{ session.phone }}", "5511900000000"),
    "message": ("{{ message.text }}", "Pedido 42"),
    "match": ("{{ match.order }} {{ match.order|int + 1 }}", "0042 43"),
    "greeting": ("{{ greeting|capitalize }}!", "Boa tarde!"),
    "now": ("{{ now.hour }} {{ now }} {{ now|date }} {{ now|time }}", "12 05/01/2026 12:00 05/01/2026 12:00"),
    "date words": ("{{ now|date('%A, %d de %B (%a)') }}", "segunda-feira, 05 de janeiro (seg)"),
    "iso date": ("{{ '2026-12-24'|date }} {{ '2026-12-24T03:00:00Z'|date('%d/%m %H:%M') }}", "24/12/2026 24/12 00:00"),
    "unix date": ("{{ 1767625200|date('%d/%m/%Y %H:%M') }}", "05/01/2026 12:00"),
    "no date": ("a{{ 'soon'|date }}{{ nope|time }}b", "ab"),
    "money": ("{{ 1234.5|money }} {{ -2|money }} {{ '9,90'|money('€') }}", "R$ 1.234,50 -R$ 2,00 € 9,90"),
    "number": ("{{ 1234567.891|number }} {{ 2|number(2) }}", "1.234.567,891 2,00"),
    "first name": ("{{ '  🌸 Ana  Paula'|first_name }}|{{ '123'|first_name }}", "Ana|"),
    "digits": ("{{ '+55 (11) 9'|digits }}", "55119"),
    "missing": ("a{{ nope }}{{ nope.deeper.still }}{{ vars.none }}{{ nope|upper|trim }}b", "ab"),
    "missing is zero": ("{{ nope|int + 1 }} {{ nope|length }} {{ nope|first }}", "1 0 "),
    "default": ("{{ vars.none|default('x') }}{{ ''|default('y', true) }}{{ nope or 'z' }}", "xyz"),
    "if": ("{% if order > 40 and 'a' in contact.tags %}yes{% elif x %}x{% else %}no{% endif %}", "yes"),
    "tests": ("{{ 1 if nope is defined else 2 }}{{ 3 if order is not none }}", "23"),
    "for": (
        "{% for i in http.json %}{{ loop.index }}. {{ i.name }} {{ i.price|times(i.count)|money }}\n{% endfor %}",
        "1. Pão R$ 10,00\n2. Bolo R$ 1.030,00\n",
    ),
    "for over pairs": ("{% for key, value in http.json[0]|items %}{{ key }}={{ value }};{% endfor %}", "name=Pão;price=2.5;count=4;"),
    "for with nothing": ("{% for i in nope %}x{% else %}none{% endfor %}", "none"),
    "range": ("{% for i in range(3) %}{{ i }}{% endfor %}{{ range(2, 8, 2)|join('-') }}", "0122-4-6"),
    "map, join, sum": ("{{ http.json|map(attribute='name')|join(', ') }} {{ http.json|sum('price') }}", "Pão, Bolo 1032.5"),
    "sort": ("{{ http.json|sort(attribute='name')|first|tojson }}", '{"name":"Bolo","price":"1.030,00","count":1}'),
    "lists": ("{{ [3, 1, 'b', 2, 3]|unique|sort|reverse }} {{ [3, -1]|min }} {{ [1]|list }}", "b, 3, 2, 1 -1 1"),
    "texts": ("{{ ' a-b '|trim|replace('-', ' ')|title|truncate(2) }} {{ 'a b'|split|last }}", "A… b"),
    "urlencode": ("{{ 'é &/'|urlencode }}", "%C3%A9%20%26%2F"),
    "numbers": ("{{ 10 / 4 }} {{ 4 / 2 }} {{ 7 // 2 }} {{ 2.5|round }} {{ 1.005|round(2) }} {{ -3|abs }} {{ order * 2 }}", "2.5 2 3 3 1.01 3 84"),
    "truth": ("{{ 1 == 1 }} {{ not 1 }}", "true false"),
    "markup is not escaped": ("{{ '<b>&' }}", "<b>&"),
    "comment": ("a{# {{ nope( #}b", "ab"),
    "spaces cut": ("a  {{- ' b' -}}  c", "a bc"),
    "end in a text": ("{{ '}}' }}{{ \"%}\" }}", "}}%}"),
    "methods are nothing": ("a{{ vars.keys }}{{ contact['items'] }}b", "ab"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "text"), RENDERED.values(), ids=RENDERED)
def test_render(source: str, text: str) -> None:
    """What people write, and what becomes of it."""
    values = _values(answers={"http": {"status": 200, "json": _ITEMS}})
    assert Templates({}).render(source, values) == text
    assert check(source) is None


CONTENTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "location": (
        {"latitude": -23.55, "longitude": -46.0, "name": "Loja", "address": "Rua A, 1", "live": True},
        "https://maps.example/?q={{ message.content.latitude }},{{ message.content.longitude }} {{ message.content.name }}, {{ message.content.address }}",
        "https://maps.example/?q=-23.55,-46 Loja, Rua A, 1",
    ),
    "contact": (
        {"contacts": [{"name": "Ana", "phone": "+55 11 1", "photo": "x"}, {"name": "Rui", "phone": "+55 11 2"}]},
        "{% for one in message.content.contacts %}{{ one.name }}: {{ one.phone }}{{ one.photo }};{% endfor %}",
        "Ana: +55 11 1;Rui: +55 11 2;",
    ),
    "document": (
        {"mediaId": "med_1", "mimetype": "text/plain", "sizeBytes": 7, "fileName": "a.txt", "caption": "Lê"},
        "{{ message.content.fileName }} {{ message.content.mimetype }} {{ message.content.sizeBytes }} {{ message.content.mediaId }} {{ message.content.caption }}",
        "a.txt text/plain 7 med_1 Lê",
    ),
    "poll_vote": (
        {"messageId": "msg_1", "options": ["hoje", "amanhã"]},
        "{{ message.content.options|first }} {{ message.content.options }} {{ message.text|lines|last }}",
        "hoje hoje, amanhã amanhã",
    ),
    "no secrets": (
        {"url": "https://x/?key=1", "base64": "AAAA", "directPath": "/v/t", "mediaKey": "k", "key": "k", "sha256": "s"},
        "{{ message.content|tojson }}{{ message.content.url }}",
        "{}",
    ),
    "of another type": ({"text": "oi"}, "{{ message.content.latitude }}{{ message.content.text }}", "oi"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "source", "text"), CONTENTS.values(), ids=CONTENTS)
def test_what_a_message_holds(content: dict[str, Any], source: str, text: str) -> None:
    """By the names that webhooks have for it; never what opens a file."""
    message = incoming(text_of(content), content=content)
    values = values_of(situation(message=message), calendar=_CALENDAR, match={}, answers={}, language="pt-BR")
    assert Templates({}).render(source, values) == text
    assert check(source) is None


def test_names_are_those_of_the_docs() -> None:
    """Each that webhooks tell of a message's content can be named, but for what is no use to people."""
    page = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    (table,) = re.findall(r"^\| type \| content \|\n\|[- |]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert set(re.findall(r'"(\w+)":', table)) - NAMES == {"waMessageId"}


ENGLISH = {
    "money": ("{{ 1234.5|money }} {{ '1,030.5'|money }}", "$1,234.50 $1,030.50"),
    "number": ("{{ 1234.5|number }}", "1,234.5"),
    "date": ("{{ now|date('%A %b') }}", "Monday Jan"),
    "greeting": ("{{ greeting }}", "good afternoon"),
}


@pytest.mark.parametrize(("source", "text"), ENGLISH.values(), ids=ENGLISH)
def test_english(source: str, text: str) -> None:
    """Another language writes numbers, dates and greetings in another way."""
    assert Templates({}).render(source, _values(language="en-US")) == text


@pytest.mark.parametrize(
    ("hour", "greeting"),
    [
        (4, "boa noite"),
        (5, "bom dia"),
        (11, "bom dia"),
        (12, "boa tarde"),
        (17, "boa tarde"),
        (18, "boa noite"),
    ],
)
def test_greeting_by_hour(hour: int, greeting: str) -> None:
    """By the set's own clock."""
    now = datetime(2026, 1, 5, hour, 59, tzinfo=_CALENDAR.zone).astimezone(UTC)
    assert _values(now=now)["greeting"] == greeting


def test_values_without_a_name() -> None:
    """Who has no name is greeted without one; the name that the message brought will do."""
    assert _values(name=None)["contact"]["name"] == "Maria S."
    assert Templates({}).render("Olá {{ contact.first_name or 'amigo' }}", _values(name="🌸")) == "Olá amigo"


def test_named() -> None:
    """By name, in the same bounds; an unknown one says so."""
    templates = Templates({"hi": "Olá {{ contact.first_name }}", "plain": "Oi"})
    assert templates.render_named("hi", _values()) == "Olá Maria"
    assert templates.render_named("plain", _values()) == "Oi"
    with pytest.raises(TemplateFailed, match='no template "nope"') as failed:
        templates.render_named("nope", _values())
    assert failed.value.code == "template_failed"
    assert isinstance(failed.value, RelayError)


def test_render_all() -> None:
    """Texts within; one that is an expression alone keeps its type, so that counting and JSON work."""
    values = _values(answers={"http": {"json": _ITEMS, "text": "x" * 5000}})
    rendered = Templates({}).render_all(
        {
            "count": "{{ order + 1 }}",
            "text": "{{ order }}x",
            "list": ["{{ http.json[0].price }}", 3, None],
            "items": " {{ http.json|map(attribute='name') }} ",
            "missing": "{{ nope }}",
            "now": "{{ now }}",
            "method": "{{ vars.keys }}",
            "plain": "{",
            "two": "{{ order }}{{ order }}",
        },
        values | {"self": 1},
    )
    assert rendered == {
        "count": 43,
        "text": "42x",
        "list": [2.5, 3, None],
        "items": ["Pão", "Bolo"],
        "missing": "",
        "now": "2026-01-05T12:00:00-03:00",
        "method": "",
        "plain": "{",
        "two": "4242",
    }
    with pytest.raises(TemplateFailed, match="4,096 characters"):
        Templates({}).render_all(["{{ http.text }}"], values)


REFUSED = {
    "set": ("{% set a = 1 %}", "{% set %} is not available"),
    "macro": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "macro"),
    "include": ("{% include '/etc/passwd' %}", "include"),
    "import": ("{% from 'x' import y %}", "from"),
    "raw": ("{% raw %}{{ x }}{% endraw %}", "raw"),
    "with": ("{% with a = 1 %}{% endwith %}", "with"),
    "call of a method": ("{{ vars.clear() }}", "clear(…) cannot be called"),
    "call of an item": ("{{ vars['clear']() }}", "cannot be called"),
    "call in brackets": ("{{ (vars.clear)() }}", "cannot be called"),
    "call in a test": ("{{ 1 is foo(1) }}", "there is no test foo"),
    "call of a filter's name": ("{{ upper('x') }}", "write {{ value|upper }}"),
    "loop that calls itself": ("{% for i in x recursive %}{{ loop(i) }}{% endfor %}", "recursive"),
    "debug": ("{{ debug() }}", "cannot be called"),
    "hidden attribute": ("{{ now.__class__ }}", "__class__ is not available"),
    "unknown filter": ("{{ 1|indent(9) }}", "there is no filter indent"),
    "unknown test": ("{{ 1 is foo }}", "there is no test foo"),
    "unknown statement": ("{% nope %}", "{% nope %} is not available"),
    "joined": ("{{ 'a' ~ 'b' }}", "write {{ a }}{{ b }}"),
    "list of values": ("{{ [message] }}", "texts and numbers only"),
    "list in a list": ("{{ [[1]] }}", "texts and numbers only"),
    "list of sums": ("{{ ['a' + 'b'] }}", "texts and numbers only"),
    "tuple": ("{{ (1, message) }}", "a comma stands where none can"),
    "mapping": ("{{ {'a': 1} }}", "braces"),
    "power": ("{{ 9 ** 9 }}", "** is available"),
    "product of two": ("{{ message.text * order }}", "write {{ price|times(count) }}"),
    "large factor": ("{{ 'a' * 1000000000 }}", "by a number up to 100"),
    "products": ("{{ 'a' * 99 * 99 }}", "once"),
    "product in a loop": ("{% for i in x %}{{ i * 2 }}{% endfor %}", "outside of loops"),
    "many sums": ("{{ x" + " + x" * 33 + " }}", "more than 32 times"),
    "deep brackets": ("{{ " + "(" * 30 + "1" + ")" * 30 + " }}", "brackets"),
    "deep blocks": ("{% if 1 %}" * 30 + "{% endif %}" * 30, "within each other"),
    "too long": ("{# " + "x" * 9000 + " #}", "8,192 characters"),
    "unclosed": ("{{ contact.name", "}} is missing"),
    "unclosed text": ("{{ 'a }}", "a quote is not closed"),
    "unclosed block": ("{% if 1 %}", "unexpected end of input"),
    "unclosed bracket": ("{{ (1 }}", "unexpected"),
    "syntax": ("{{ a b }}", "unexpected identifier"),
    "unclosed comment": ("a {# b", "unexpected end of comment"),
}


@pytest.mark.parametrize(("source", "says"), REFUSED.values(), ids=REFUSED)
def test_refused_when_it_is_written(source: str, says: str) -> None:
    """What could grow, reach into Python or is no template: said by `check`, with the line, and never rendered."""
    sentence = check(f"a\nb\n{source}")
    assert sentence is not None
    assert says in sentence
    assert sentence.startswith("The template fails")
    assert sentence.endswith(".")
    with pytest.raises(TemplateFailed):
        Templates({}).render(source, _values())


@pytest.mark.parametrize(
    ("source", "line"), [("a\nb\n{{ 1|nope }}", 3), ("{% if 1 %}\n{% end %}", 2), ("{{ 1 / 0 }}", 1)]
)
def test_the_line_is_told(source: str, line: int) -> None:
    """Where it fails, as an editor counts."""
    with pytest.raises(TemplateFailed, match=f"in line {line}:"):
        Templates({}).render(source, _values())


_QUOTES = '"' * 4096
COSTLY = {
    "long loop": ("{% for i in range(1000000000) %}{% endfor %}", "more than 1,000 numbers"),
    "loops in loops": (
        "{% for a in range(999) %}{% for b in range(999) %}{% endfor %}{% endfor %}",
        "too many steps|too much work",
    ),
    "much output": ("{% for i in range(100) %}" + "x" * 50 + "{% endfor %}", "4,096 characters"),
    "much output of values": (
        "{% for i in range(100) %}{{ city }}{{ long }}{% endfor %}",
        "its text is too long",
    ),
    "text of a filter": ("{{ long|replace('\"', long) }}", "too much work"),
    "escapes of escapes": ("{{ long" + "|tojson" * 40 + " }}", "too much work"),
    "lists of texts of lists": ("{{ long" + "|list|string" * 40 + " }}", "too much work"),
    "filter for each": (
        "{{ range(1000)|map('replace', '', long)|map('tojson')|join(long) }}",
        "too much work",
    ),
    "join": ("{{ range(1000)|join(long) }}", "too much work"),
    "filter in a loop": (
        "{% for i in range(1000) %}{% if long|list|sort %}{% endif %}{% endfor %}",
        "too much work",
    ),
    "sums of lists": (
        "{% for i in range(1000) %}{% if (many" + " + many" * 30 + ")|length %}{% endif %}{% endfor %}",
        "too much work",
    ),
    "map by map": ("{{ long|map('map') }}", "no filter map for map"),
    "map by no filter": ("{{ long|map('format') }}", "no filter format for map"),
    "huge number": ("{{ 10" + "|times(1000000000000)" * 50 + "|money }}{{ 1 / 0 }}", "unable to calculate"),
    "wide number": (
        "{{ 1|number(1000000000) }}{{ now|date('%1000000000d') }}{{ 1 / 0 }}",
        "unable to calculate",
    ),
    "deep value": ("{{ deep }}", "nested too deeply"),
    "wrong arguments": ("{{ 1|money(1, 2, 3) }}", "cannot take"),
    "wrong kinds": ("{{ 'a'|truncate('b') }}", "cannot take"),
    "range by nothing": ("{{ range(1, 2, 0) }}", "cannot take"),
}


@pytest.mark.parametrize(("source", "says"), COSTLY.values(), ids=COSTLY)
def test_ended_while_it_is_rendered(source: str, says: str) -> None:
    """Steps, work and output are counted: whatever a template wants, it ends, with a sentence."""
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    values = _values() | {"long": _QUOTES, "many": [1] * 1000, "deep": deep}
    with pytest.raises(TemplateFailed, match=says):
        Templates({}).render(source, values)


def test_what_calls_answer_is_cut() -> None:
    """An answer of another server may be large and deep: templates see its beginning."""
    deep: Any = 1
    for _ in range(5000):
        deep = {"a": deep}
    values = _values(answers={"http": {"text": "x" * 300_000, "json": [0] * 30_000, "deep": deep}})
    rendered = Templates({}).render(
        "{{ http.text|length }} {{ http.json|length }} {{ http.deep.a.a is defined }}", values
    )
    assert rendered == "65536 1000 true"


def test_nothing_is_kept_between_renderings() -> None:
    """An allowance is for one rendering; what failed does not weigh on the next."""
    templates = Templates({})
    for _ in range(3):
        with pytest.raises(TemplateFailed):
            templates.render("{{ long|list|string|list|string }}", {"long": _QUOTES * 8})
        assert templates.render("{{ long|length }}", {"long": _QUOTES}) == "4096"


def test_more_templates_than_are_kept_compiled() -> None:
    """Old ones make room; each still says its own."""
    templates = Templates({})
    for number in [*range(2100), 0, 1]:
        assert (
            templates.render(f"{number} {{{{ contact.first_name }}}}", {"contact": {"first_name": "Ana"}})
            == f"{number} Ana"
        )
