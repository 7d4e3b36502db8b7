"""What the server says about rules, in the language that the caller reads: mistakes, failed tests, explanations."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from relay.api.language import negotiate
from relay.config import Config, Rules
from relay.replies.said import Language
from relay.store.pool import Pool
from tests.api_client import Api, serve_api

RULES = "/api/v1/rules"
PORTUGUESE = {"Accept-Language": "pt-BR,pt;q=0.9,en;q=0.8"}
HOURS = """\
version: 1
rules:
  - id: hours
    when: {keyword: [open, close]}
    if: [{tags: vip}]
    do: [{reply: Nine to five.}]
tests:
  - {name: asks, given: {text: Open?}, expect: {rule: hours}}
"""


@pytest.fixture
async def api(pool: Pool, url: str, tmp_path: Path) -> AsyncIterator[Api]:
    config = structs.replace(Config(), rules=Rules(folder=str(tmp_path)))
    async with serve_api(pool, url, config=config) as operator:
        yield await operator.as_tenant("Acme", "rules")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt-BR"),
        ("pt", "pt-BR"),
        ("PT-pt", "pt-BR"),
        ("en-US,en;q=0.9,pt;q=0.8", "en"),
        ("en;q=0.5, pt;q=0.7", "pt-BR"),
        ("es, pt;q=0.3", "pt-BR"),
        ("es", "en"),
        ("*", "en"),
        ("pt;q=0", "en"),
        ("pt;q=0, *", "en"),
        ("ptx", "en"),
        ("pt;q=much", "en"),
        ("é;;,,=", "en"),
    ],
)
def test_the_language_is_the_one_that_is_wanted_most(header: str, language: Language) -> None:
    """Of those that we have; whatever stands in the header."""
    assert negotiate(header) == language


async def test_a_question_ends_with_its_own_mark(api: Api) -> None:
    """A mistake that asks what was meant gets no full stop behind it, in any language."""
    wrong = "version: 1\nrule: []\n"
    details = [
        (await api.put(f"{RULES}/shop", content=wrong, headers=headers)).json()["detail"]
        for headers in ({}, PORTUGUESE)
    ]
    assert details == [
        "Line 2: rule: is no key of a rule set; did you mean `rules`?",
        "Linha 2: rule: não é uma chave de um conjunto de regras; você quis dizer `rules`?",
    ]


async def test_mistakes_are_told_in_the_callers_language(api: Api) -> None:
    """The same places and codes; English for whoever asks for nothing."""
    wrong = "version: 1\nrules:\n  - id: a\n    wen: {keyword: oi}\n    do: [{reply: '{{ 1|firstname }}'}]\n"
    english = await api.put(f"{RULES}/shop", content=wrong)
    portuguese = await api.put(f"{RULES}/shop", content=wrong, headers=PORTUGUESE)
    assert (english.status_code, portuguese.status_code) == (422, 422)
    assert english.headers["Content-Language"] == "en"
    assert portuguese.headers["Content-Language"] == "pt-BR"
    first, second = english.json(), portuguese.json()
    assert (first["code"], first["path"]) == (second["code"], second["path"]) == ("rules_invalid", "rules[0]")
    assert first["detail"] == "Line 3: rules[0]: needs `when`. (and 1 more)."
    assert second["detail"] == "Linha 3: rules[0]: precisa de `when`. (e mais 1)."
    assert first["errors"][1] == {
        "line": 4,
        "column": 5,
        "path": "rules[0].wen",
        "detail": "is no key of a rule; did you mean `when`?",
    }
    assert second["errors"][1] == first["errors"][1] | {
        "detail": "não é uma chave de uma regra; você quis dizer `when`?"
    }


async def test_failed_tests_are_told_in_the_callers_language(api: Api) -> None:
    """With the reason why the rule did not fire."""
    answer = await api.put(f"{RULES}/shop", content=HOURS, headers=PORTUGUESE)
    assert (answer.status_code, answer.headers["Content-Language"]) == (422, "pt-BR")
    body = answer.json()
    sentence = 'Regra: nada, e não “hours”. O contato não tem a etiqueta "vip".'
    assert body["code"] == "rules_tests_failed"
    assert body["errors"] == [{"test": "asks", "detail": sentence}]
    assert body["detail"] == (
        "Testes que falham neste conjunto de regras: 1 de 1; ele não foi posto em vigor. "
        f"O primeiro: asks: {sentence}"
    )


async def test_explanations_are_in_the_callers_language(api: Api) -> None:
    """Of a draft, and of the rules in force; codes are the same in any language."""
    said = {"text": "Open?", "source": HOURS}
    english = await api.post(f"{RULES}/explain", json=said)
    portuguese = await api.post(f"{RULES}/explain", json=said, headers=PORTUGUESE)
    assert english.headers["Content-Language"] == "en"
    assert portuguese.headers["Content-Language"] == "pt-BR"
    (first,), (second,) = english.json()["notes"], portuguese.json()["notes"]
    assert first == {
        "ruleSet": "draft",
        "rule": "hours",
        "code": "condition.tags",
        "detail": 'The contact has no tag "vip".',
    }
    assert second == first | {"detail": 'O contato não tem a etiqueta "vip".'}
    await api.put(f"{RULES}/shop", content=HOURS, params={"skipTests": "true"})
    fired = await api.post(f"{RULES}/explain", json={"text": "Open?", "tags": ["vip"]}, headers=PORTUGUESE)
    assert [note["detail"] for note in fired.json()["notes"]] == ["A regra disparou."]


async def test_a_draft_that_cannot_be_read_is_told_in_the_callers_language(api: Api) -> None:
    """As when it is put in force."""
    answer = await api.post(
        f"{RULES}/explain", json={"text": "Oi", "source": "rules: []"}, headers=PORTUGUESE
    )
    assert (answer.status_code, answer.headers["Content-Language"]) == (422, "pt-BR")
    assert answer.json()["errors"][0]["detail"] == "precisa de `version`."
