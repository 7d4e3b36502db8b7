"""What the server says to people in two languages: nothing is left out, and the English is what it was."""

import ast
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from string import Formatter

import pytest
from msgspec import inspect

import relay
from relay.replies import schema
from relay.replies.reading.check import read_rules
from relay.replies.reading.convert import Converter
from relay.replies.reading.problems import RulesInvalid
from relay.replies.reading.yaml_nodes import Scalar
from relay.replies.rule_tests import run_tests
from relay.replies.said import all_of, any_of, catalogue, either, in_language, joined, said


def _templates() -> Iterator[tuple[str, ast.expr]]:
    """The first argument of every `said(…)`, with its place."""
    root = Path(relay.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "said":
                yield f"{path.relative_to(root)}:{node.lineno}", node.args[0]


def _names(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def test_every_sentence_is_written_out() -> None:
    """`said` is given its template itself: what is put together elsewhere no catalogue can have."""
    assert [place for place, given in _templates() if not isinstance(given, ast.Constant)] == []


def test_the_catalogue_has_exactly_the_sentences_of_the_code() -> None:
    """None is missing in Portuguese, and none is left of what is no longer said."""
    said_ = {given.value for _, given in _templates() if isinstance(given, ast.Constant)}
    assert said_ == set(catalogue())


@pytest.mark.parametrize(("english", "portuguese"), catalogue().items())
def test_both_languages_put_in_the_same(english: str, portuguese: str) -> None:
    """The same names in braces, and the same edges where a sentence is put together of parts."""
    assert _names(english) == _names(portuguese)
    assert english.endswith(".") == portuguese.endswith(".")
    assert english.startswith((" ", ";", ":")) == portuguese.startswith((" ", ";", ":"))


def test_a_sentence_is_its_english_one() -> None:
    """It is a text like any other, and keeps what it was made of."""
    sentence = said("The contact has no tag {tags}.", tags=either(['"vip"', '"gold"', '"new"']))
    assert sentence == 'The contact has no tag "vip", "gold" or "new".'
    assert in_language(sentence, "en") == sentence
    assert type(in_language(sentence, "en")) is str


def test_the_portuguese_sentence_has_portuguese_parts_numbers_and_dates() -> None:
    """What is put in is put in as the language writes it; what people wrote stays as they wrote it."""
    sentences = {
        said("The contact has no tag {tags}.", tags=either(["a", "b", "c"])): (
            "O contato não tem a etiqueta a, b ou c."
        ),
        said("The contact has no tag {tags}.", tags=any_of(["a", "b", "c"])): (
            "O contato não tem a etiqueta a ou b ou c."
        ),
        said("is true, so {others} would never matter: leave out one of them.", others=all_of(["a", "b"])): (
            "é true, e então não adianta escrever a e b: tire um dos dois."
        ),
        joined([said("It is empty."), "{x}", said("The answer is empty.")], " "): (
            "Está vazio. {x} A resposta está vazia."
        ),
        said("The contact is not among the {share:g} percent.", share=2.5): (
            "O contato não está entre os 2,5 por cento."
        ),
        said("it has more than {most:,} characters", most=8192): "tem mais de 8.192 caracteres",
        said("{day:%Y-%m-%d} is a holiday.", day=date(2026, 9, 7)): "07/09/2026 é feriado.",
    }
    for sentence, expected in sentences.items():
        assert in_language(sentence, "pt-BR") == expected


def test_a_list_may_be_long() -> None:
    """A company may name hundreds of tags: that is one sentence, not hundreds within each other."""
    words = [f"tag{number}" for number in range(5000)]
    assert in_language(any_of(words), "pt-BR") == " ou ".join(words)
    assert in_language(either(words), "pt-BR").endswith("tag4998 ou tag4999")
    assert in_language(joined([]), "pt-BR") == in_language(any_of([]), "pt-BR") == ""


def test_what_has_no_words_stays_english() -> None:
    """A plain text is what it is, whatever stands in it."""
    assert in_language("Anything {else}.", "pt-BR") == "Anything {else}."


MISTAKES = {
    "version: 1\nruels: []": (
        "ruels: is no key of a rule set; did you mean `rules`?",
        "ruels: não é uma chave de um conjunto de regras; você quis dizer `rules`?",
    ),
    "version: 1\nrules:\n  - id: a\n    when: {keyword: oi}": (
        "rules[0]: needs `do`.",
        "rules[0]: precisa de `do`.",
    ),
    "version: 1\nrules: [{id: a, when: {}, do: [{stop: true}]}]": (
        "rules[0].when: says nothing: write what the message is, such as `keyword: hello`, or `always: true`.",
        "rules[0].when: não diz nada: escreva como é a mensagem, por exemplo `keyword: oi`, ou `always: true`.",
    ),
    "version: 1\nrules: [{id: a, when: {keyword: oi}, do: []}]": (
        "rules[0].do: needs 1 or more, and has none.",
        "rules[0].do: precisa de 1 ou mais, e não tem nenhum.",
    ),
    "version: 1\nrules: [{id: a, when: {keyword: oi}, do: [{reply: oi, stop: true}]}]": (
        "rules[0].do[0].stop: stands beside `reply`: each action has one key; begin a new line with `-` for the next.",
        "rules[0].do[0].stop: está ao lado de `reply`: cada ação tem uma só chave; comece uma linha nova com `-` para a próxima.",
    ),
    "version: 1\nrules: [{id: a, when: {keyword: oi}, do: [{flow: menuu}]}]\nflows: {menu: {steps: [{do: [{stop: true}]}]}}": (
        "rules[0].do[0].flow: “menuu” is no flow; did you mean `menu`?",
        "rules[0].do[0].flow: não há fluxo com o nome “menuu”; você quis dizer `menu`?",
    ),
    "version: 1\nrules: [{id: a, when: {keyword: oi}, priority: 2000, do: [{stop: true}]}]": (
        "rules[0].priority: must be from -1000 to 1000, not 2000.",
        "rules[0].priority: tem de ser um número de -1000 a 1000, e não 2000.",
    ),
    "version: 1\nrules: [{id: a, when: {regex: '(?=x)'}, do: [{stop: true}]}]": (
        (
            "rules[0].when.regex: The regular expression is not valid: invalid perl operator: (?=."
            " Look-ahead, look-behind and back references do not exist here (RE2)."
        ),
        (
            "rules[0].when.regex: A expressão regular não é válida: invalid perl operator: (?=."
            " Lookahead, lookbehind e referências a grupos não existem aqui (RE2)."
        ),
    ),
    "version: 1\nrules: [{id: a, when: {keyword: oi}, do: [{reply: '{{ contact.name|firstname }}'}]}]": (
        "rules[0].do[0].reply: The template fails in line 1: there is no filter firstname.",
        "rules[0].do[0].reply: O texto com variáveis falha na linha 1: não há filtro firstname.",
    ),
    "version: 1\ndefaults: {timezone: America/Sao_Paolo}": (
        "defaults.timezone: “America/Sao_Paolo” is no time zone; did you mean `America/Sao_Paulo`?",
        "defaults.timezone: “America/Sao_Paolo” não é um fuso horário; você quis dizer `America/Sao_Paulo`?",
    ),
    "version: 1\nrules:\n\t- id: a": (
        ("Is not valid YAML. Indent with spaces, not tabs (found character that cannot start any token)."),
        (
            "Não é um YAML válido. Recue com espaços, e não com Tab"
            " (found character that cannot start any token)."
        ),
    ),
    "version: 1\ndefaults: {cooldown: sempre}": (
        "defaults.cooldown: “sempre” is no duration: write 30s, 5m, 1h30m or 7d (at most 365d).",
        "defaults.cooldown: “sempre” não é uma duração: escreva 30s, 5m, 1h30m ou 7d (no máximo 365d).",
    ),
    "version: 1\nholidays: {country: BR, state: XX}": (
        "holidays.state: “XX” is no state of BR: write one of ",
        "holidays.state: “XX” não é um estado de BR: escreva ",
    ),
    "": ("Is empty: begin with `version: 1`.", "Está vazio: comece com `version: 1`."),
}


@pytest.mark.parametrize(("text", "sentences"), MISTAKES.items())
def test_mistakes_in_both_languages(text: str, sentences: tuple[str, str]) -> None:
    """What is wrong, and what to write instead; the same thing in both."""
    with pytest.raises(RulesInvalid) as refused:
        read_rules(text, operator=False)
    problem = refused.value.problems[0]
    english, portuguese = sentences
    assert problem.sentence.startswith(english)
    assert in_language(problem.sentence, "pt-BR").startswith(portuguese)
    whole = in_language(refused.value.detail, "pt-BR")
    assert whole.startswith(f"Linha {problem.line}: {portuguese}")


def test_a_failed_test_in_both_languages() -> None:
    """With the reason why the rule that was expected did not fire."""
    rules = read_rules(
        """
version: 1
rules: [{id: hours, when: {keyword: [open, close, shut]}, do: [{reply: Nine to five.}]}]
tests:
  - name: asks
    given: {text: opened}
    expect: {rule: hours, replies: [Nine to five.], vars: {city: Recife}, tags: [vip]}
""",
        operator=False,
    )
    (result,) = run_tests(rules, "shop")
    assert result.problems == [
        'The rule is none, not “hours”. None of the keywords "open", "close", "shut" is in the text.',
        "The bot says nothing, which is 0 and not 1.",
        "The variable city is nothing, not “Recife”.",
        "The contact's tags are nothing, not “vip”.",
    ]
    assert [in_language(sentence, "pt-BR") for sentence in result.problems] == [
        'Regra: nada, e não “hours”. Nenhuma das palavras-chave "open", "close", "shut" está no texto.',
        "O robô diz nada: 0 em vez de 1.",
        "A variável city vale nada, e não “Recife”.",
        "As etiquetas do contato são nada, e não “vip”.",
    ]


def test_whatever_stands_where_the_schema_expects_something_else_is_told() -> None:
    """Each kind of thing in the schema has a word in both languages."""

    def kinds(wanted: inspect.Type, seen: set[type]) -> Iterator[inspect.Type]:
        yield wanted
        match wanted:
            case inspect.StructType(cls=cls, fields=fields) if cls not in seen:
                seen.add(cls)
                for field in fields:
                    yield from kinds(field.type, seen)
            case inspect.UnionType(types=types):
                for one in types:
                    yield from kinds(one, seen)
            case inspect.ListType(item_type=inner) | inspect.DictType(value_type=inner):
                yield from kinds(inner, seen)
            case _:
                pass

    empty = Scalar(line=1, column=1, text="", plain=True)
    for wanted in kinds(inspect.type_info(schema.RuleSet), set()):
        converter = Converter()
        converter.read(empty, wanted)
        for problem in converter.problems:
            words = in_language(problem.detail, "pt-BR")
            assert words.startswith("está vazio: escreva ")
            assert words.endswith(", ou tire a chave.")
