"""What agents are told and what they say: prompts, history, splitting, waiting. Pure."""

from datetime import UTC, datetime
from typing import Any

import pytest

from relay.model.agent import CallOutcome, HttpSettings, OpenAiSettings, Tokens, cost_of
from relay.model.ids import MessageId, TenantId
from relay.replies.agents import prompts
from relay.replies.agents.failure import CallFailed, Patience, failed_by_status
from relay.replies.agents.prompts import check_prompt
from relay.replies.agents.question import Line, Question, is_stopped, within, words_of
from relay.replies.agents.speech import plan, speak, split
from relay.replies.outcome import Cause
from relay.store.agent_questions import ToldMessage

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


def told(text: str = "Oi", **given: Any) -> ToldMessage:
    fields: dict[str, Any] = {
        "id": MessageId("msg_1"),
        "ours": False,
        "sender_name": "Maria",
        "type": "text",
        "content": {"text": text},
        "sent_at": AT,
    }
    return ToldMessage(**(fields | given))


def question(*messages: ToldMessage) -> Question:
    return Question(
        key="trn_1",
        tenant_id=TenantId("ten_1"),
        session=None,
        session_id=None,
        chat="",
        asker=None,
        messages=messages or (told(),),
        history=[],
        now=AT,
    )


def render_prompt(prompt: str, asked: Question, timezone: str = "America/Sao_Paulo") -> str:
    return prompts.render_prompt(prompt, asked, timezone=timezone)


# --- what it says ---------------------------------------------------------------------------------------------------


def test_paragraphs_become_messages() -> None:
    """Each its own; short ones that follow each other together, where there are too many."""
    assert split("Um.\n\n\nDois.\n \nTrês.\nainda três.", most=4) == ["Um.", "Dois.", "Três.\nainda três."]
    assert split("a\n\n" + "b" * 50 + "\n\nc\n\nd", most=3) == ["a", "b" * 50, "c\n\nd"]
    assert split("", most=4) == []


def test_what_is_long_is_cut_between_words() -> None:
    """No message is longer than 1,500 characters; what would take too many ends in an ellipsis."""
    words = " ".join(["palavra"] * 400)
    parts = split(words, most=4)
    assert [len(part) <= 1500 for part in parts] == [True] * 3
    assert " ".join(parts) == words
    short = split(words, most=2)
    assert (len(short), short[-1][-1], len(short[-1]) <= 1500) == (2, "…", True)
    assert split("x" * 1501, most=4) == ["x" * 1500, "x"]


def test_typing_takes_as_long_as_its_text() -> None:
    """At most six seconds, and none where the agent is set so."""
    spoken = speak("x" * 50 + "\n\n" + "y" * 1000, most=4)
    settings = HttpSettings(url="https://a.example/")
    assert [one.typing_seconds for one in plan(spoken, settings, Cause())] == [2.0, 6.0]
    silent = HttpSettings(url="https://a.example/", typing=False)
    assert [one.typing_seconds for one in plan(spoken, silent, Cause())] == [0, 0]


# --- what it is told ------------------------------------------------------------------------------------------------


def test_history_is_the_newest_that_fits() -> None:
    """A line costs its words and a little more."""
    lines = [Line(ours=False, text="x" * 40, at=AT) for _ in range(5)]
    assert within(lines, tokens=30) == lines[-2:]
    assert within(lines, tokens=0) == []


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("image", {"caption": "Isto"}, "[image] Isto"),
        ("document", {"fileName": "a.pdf"}, "[document: a.pdf]"),
        ("audio", {"voice": True}, "[voice message]"),
        ("location", {"latitude": 1.5, "longitude": 2, "name": "Loja"}, "[location: 1.5, 2 – Loja]"),
        ("contact", {"name": "Ana"}, "[contact: Ana]"),
        ("poll", {"question": "Dia?", "options": ["a", "b"]}, "[poll: Dia? – a / b]"),
        ("poll_vote", {"options": ["a"]}, "a"),
        ("reaction", {"emoji": "👍"}, "👍"),
        ("unsupported", {}, "[unsupported]"),
    ],
)
def test_what_is_not_text_is_named(kind: str, content: dict[str, Any], words: str) -> None:
    """A model that sees nothing reads what was there."""
    assert words_of(kind, content) == words


def test_in_groups_it_is_told_who_writes() -> None:
    """By the name that they have given themselves."""
    assert question(told("Oi"), told("E aí", in_group=True)).text == "Oi\nMaria: E aí"


def test_stop_words_are_whole_messages() -> None:
    """Capitals, accents and spaces do not matter."""
    assert is_stopped([told("Oi"), told(" NÃO ")], ["nao"])
    assert not is_stopped([told("nao quero")], ["nao"])
    assert not is_stopped([told("")], [])
    assert is_stopped([told("Parar!", in_group=True)], ["parar!"])


def test_a_prompt_is_a_template() -> None:
    """With the contact, the time and the rest that rules see; braces alone are none."""
    assert render_prompt("{{ contact.name }} writes.", question()) == "Maria writes."
    assert render_prompt("{{ now | date('%H:%M') }}", question()) == "09:00"
    assert render_prompt("{{ now | date('%H:%M') }}", question(), "Asia/Tokyo") == "21:00"
    assert render_prompt('Answer as {"a": 1}.', question()) == 'Answer as {"a": 1}.'


def test_a_long_prompt_may_be_a_template_too() -> None:
    """Longer than any template of a rule, with a condition over several paragraphs."""
    fact = "Shoes cost ten.\n\n"
    prompt = fact * 1000 + "{% if contact.name %}\n\nIt is {{ contact.name }}.\n\n{% endif %}\n\nEnd."
    assert check_prompt(prompt) is None
    rendered = render_prompt(prompt, question())
    assert rendered.startswith(fact * 1000)
    assert "It is Maria." in rendered
    assert rendered.endswith("End.")


def test_what_is_wrong_with_a_prompt_is_said() -> None:
    """Before it is stored; and should it fail for some contact only, then by the call."""
    assert check_prompt("{% if x %}\n\nno end") is not None
    with pytest.raises(CallFailed) as failed:
        render_prompt("{{ 'x' * 5000 }}", question())
    assert failed.value.outcome is CallOutcome.FAILED


# --- trying again ---------------------------------------------------------------------------------------------------


async def tries(failures: list[CallFailed], *, retries: int = 3, until: float = 100.0) -> list[float]:
    """The waits before the one that succeeds."""
    waits: list[float] = []
    left = list(failures)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def attempt() -> None:
        if left:
            raise left.pop(0)

    patience = Patience(retries=retries, until=until, clock=lambda: sum(waits), sleep=sleep)
    await patience.again_and_again(attempt)
    return waits


async def test_waits_grow_unless_the_server_says() -> None:
    """Seconds or a date; what is neither is not looked at."""
    down = failed_by_status(500, retry_after=None)
    asked = [
        failed_by_status(429, retry_after=text) for text in ("3", "Mon, 05 Jan 2026 12:00:00 GMT", "soon")
    ]
    assert await tries([down, down, down]) == [0.5, 1.0, 2.0]
    assert await tries(asked) == [3.0, 0.0, 2.0]


@pytest.mark.parametrize(
    ("failure", "given"),
    [
        (failed_by_status(401, retry_after=None), {}),
        (failed_by_status(500, retry_after=None), {"retries": 0}),
        (failed_by_status(429, retry_after="100"), {}),
        (failed_by_status(503, retry_after="inf"), {}),
    ],
)
async def test_what_no_other_try_can_help(failure: CallFailed, given: dict[str, Any]) -> None:
    """It fails at once, with what the server said."""
    with pytest.raises(CallFailed) as failed:
        await tries([failure], **given)
    assert failed.value is failure


def test_what_a_call_costs() -> None:
    """By the million tokens, to the last digit; without prices nothing is known."""
    used = Tokens(prompt=1_000, completion=10)
    paid = OpenAiSettings(model="small", price_per_million_input=0.15, price_per_million_output=0.6)
    assert str(cost_of(paid, used)) == "0.000156"
    assert cost_of(OpenAiSettings(model="small"), used) is None
    assert cost_of(HttpSettings(url="https://a.example/"), used) is None
