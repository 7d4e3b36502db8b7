"""plugins/opt_out.py: who asks to be left alone is left alone, and can come back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from relay.plugin.testing import AT, MARIA, TriedPlugin, load

PLUGIN = Path(__file__).parents[2] / "plugins" / "opt_out.py"


@pytest.fixture
def plugin() -> TriedPlugin:
    return load(PLUGIN)


@pytest.mark.parametrize("word", ["STOP", "sair", " Sair! ", "PARAR.", "Cancelar"])
async def test_leaving_is_said_once_and_kept(plugin: TriedPlugin, word: str) -> None:
    """One last answer, the tag, the day; then silence, to the word and to everything else."""
    answer = await plugin.receives(word)
    assert answer.texts == [plugin.module.GOODBYE["pt"]]
    assert plugin.contact.tags == {"opted-out"}
    assert await plugin.storage.get(MARIA.id) == {"left_at": AT.isoformat().replace("+00:00", "Z")}
    for text in (word, "Oi, tudo bem?"):
        answer = await plugin.receives(text)
        assert (answer.handled, answer.texts) == (True, [])


async def test_coming_back(plugin: TriedPlugin) -> None:
    """The tag goes, a welcome is said, and others may answer again."""
    await plugin.receives("SAIR")
    assert await plugin.before_reply("Promoção!", text="Oi") == []
    assert await plugin.before_reply(plugin.module.WELCOME["pt"], text="Voltar") != []
    answer = await plugin.receives("Voltar")
    assert answer.texts == [plugin.module.WELCOME["pt"]]
    assert plugin.contact.tags == set()
    assert await plugin.storage.list() == {}
    assert not (await plugin.receives("Oi")).handled
    assert await plugin.before_reply("Promoção!", text="Oi") == ["Promoção!"]


@pytest.mark.parametrize("text", ["não quero parar", "Oi", "", "voltar"])
async def test_other_words_are_not_its_business(plugin: TriedPlugin, text: str) -> None:
    """The whole message has to be the word; coming back is for those who had left."""
    answer = await plugin.receives(text)
    assert (answer.handled, answer.texts, plugin.contact) == (False, [], MARIA)


async def test_a_group_is_left_alone(plugin: TriedPlugin) -> None:
    """In a group, "stop" is said to others."""
    assert not (await plugin.receives("stop", chat_type="group")).handled


@pytest.mark.parametrize(
    ("phone", "language"),
    [
        ("351912345678", "pt"),
        ("34612345678", "es"),
        ("14155550100", "en"),
        ("491701234567", "en"),
        (None, "en"),
    ],
)
async def test_the_answer_is_in_the_contacts_language(phone: str | None, language: str) -> None:
    """By the number's country; elsewhere by the settings."""
    plugin = load(PLUGIN, settings={"language": "en"})
    answer = await plugin.receives("stop", contact=structs.replace(MARIA, phone=phone))
    assert answer.texts == [plugin.module.GOODBYE[language]]


async def test_a_rule_can_ask_for_it(load_plugin: Callable[..., TriedPlugin]) -> None:
    """As the action `opt_out.keep`, with the tag of the settings."""
    plugin = load_plugin(PLUGIN, settings={"tag": "no-ads"})
    answer = await plugin.act("opt_out.keep", text="SAIR")
    assert answer.handled
    assert plugin.contact.tags == {"no-ads"}


async def test_what_is_kept_goes_with_the_contact(plugin: TriedPlugin) -> None:
    """Deleting the contact deletes the day it left."""
    await plugin.receives("SAIR")
    await plugin.delete_contact()
    assert await plugin.storage.list() == {}
