"""plugins/faq.py: questions are answered from a file that anyone can edit."""

import os
from pathlib import Path

import pytest

from relay.model.errors import ConfigError
from relay.plugin import fold, likeness
from relay.plugin.testing import TriedPlugin, load

PLUGIN = Path(__file__).parents[2] / "plugins" / "faq.py"
HOURS, PLACE = "Atendemos", "Rua das Flores"


@pytest.fixture
def plugin() -> TriedPlugin:
    return load(PLUGIN)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Qual é o horário de funcionamento?", HOURS),
        ("qual o orario de funcionamento", HOURS),
        ("Boa tarde! Qual o horário de vocês?", HOURS),
        ("vocês abrem a que horas? que hora fecha", HOURS),
        ("ONDE VOCES FICAM", PLACE),
        ("onde voces ficam mesmo por favor", PLACE),
        ("aceita pix?", "Pix"),
    ],
)
async def test_questions_are_found(plugin: TriedPlugin, text: str, answer: str) -> None:
    """As people write them: no accents, mistakes, more words than needed, a keyword alone."""
    [said] = (await plugin.receives(text)).texts
    assert said.startswith(answer)


@pytest.mark.parametrize(
    "text", ["", "oi", "o", "de", "Onde está meu pedido?", "quero falar com alguém", "👍"]
)
async def test_what_is_not_asked_there_is_not_answered(plugin: TriedPlugin, text: str) -> None:
    """Others may answer it."""
    answer = await plugin.receives(text)
    assert (answer.texts, answer.handled) == ([], False)


async def test_groups_are_answered_where_the_bot_is_meant(plugin: TriedPlugin) -> None:
    """A question among people is theirs."""
    assert not (await plugin.receives("aceita pix?", chat_type="group")).texts
    assert (await plugin.receives("aceita pix?", chat_type="group", mentioned=True)).texts


async def test_a_rule_asks_it(plugin: TriedPlugin) -> None:
    """The action `faq.answer`: with the message's text or another, and with what to say otherwise."""
    assert (await plugin.act("faq.answer", text="aceita pix?")).result == {"found": True}
    answer = await plugin.act("faq.answer", {"question": "onde ficam vocês?"}, text="2")
    assert answer.texts[0].startswith(PLACE)
    missed = await plugin.act("faq.answer", {"otherwise": "Não sei."}, text="???")
    assert (missed.texts, missed.result) == (["Não sei."], {"found": False})
    assert (await plugin.act("faq.answer", text="???")).texts == []


async def test_it_can_be_left_to_rules_alone() -> None:
    """`answers: false`."""
    plugin = load(PLUGIN, settings={"answers": False})
    assert not (await plugin.receives("aceita pix?")).handled
    assert (await plugin.act("faq.answer", text="aceita pix?")).texts


async def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Without a restart; as a spreadsheet of a country with decimal commas saves it."""
    file = tmp_path / "mine.csv"
    file.write_text("\ufeffquestion;answer\nTem wifi?;Tem sim\n;\n", "utf-8")
    plugin = load(PLUGIN, settings={"file": str(file)})
    assert (await plugin.receives("tem wifi")).texts == ["Tem sim"]
    file.write_text('question,answer\nTem wifi?,"Tem.\nA senha é café"\n', "utf-8")
    os.utime(file, ns=(1, 1))
    assert (await plugin.receives("tem wifi")).texts == ["Tem.\nA senha é café"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        (b"question,answer\n\xe9\xe9,x\n", "Save it as CSV UTF-8"),
        (b"pergunta,resposta\na,b\n", "the first line has to be question,answer"),
    ],
)
def test_a_wrong_file_stops_the_start(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    """With a sentence that says what to do."""
    file = tmp_path / "faq.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"plugins.settings.faq: .*{sentence}"):
        load(PLUGIN, settings={"file": str(file)})


def test_words_are_compared_as_people_mean_them() -> None:
    """Words: fold and likeness, which every plugin may use."""
    assert fold("  Não, OBRIGADO!\n") == "nao obrigado"
    assert likeness("horario de funcionamento", "funcionamento horario de") == 100
    assert likeness("o", "qual e o horario") < 50
    assert likeness("", "") == 0
