"""Flows in conversations: what a step does with an answer, and where it leads."""

from relay.replies.outcome import Outcome
from relay.replies.reading.check import read_rules
from relay.replies.rule_tests import text_of
from relay.replies.schema import Given
from relay.replies.trial import Trial

START = """\
version: 1
rules:
  - {id: start, when: {keyword: start}, do: [{flow: main}]}
flows:
  main:
    steps:
"""


def talk(steps: str, *texts: str) -> tuple[Trial, list[Outcome]]:
    """Say `start`, then the texts."""
    trial = Trial.of(read_rules(START + steps, operator=False), name="flows")
    return trial, [trial.say(Given(text=text)) for text in ("start", *texts)]


def said(outcome: Outcome) -> list[str]:
    return [text_of(message) for message in outcome.messages]


def test_nothing_is_asked_once_a_person_is_called() -> None:
    """A handoff in the `do` of a step, with a question or without: the question after it is not asked."""
    trial, (_, answered) = talk(
        """\
      - {id: name, ask: Your name?, capture: name, do: [{reply: One moment.}, {handoff: true}]}
      - {id: mail, ask: Your address?, capture: mail}
""",
        "Mary",
    )
    assert said(answered) == ["One moment."]
    assert (trial.state.flow, trial.state.vars) == (None, {"name": "Mary"})
    trial, (begun,) = talk("      - do: [{handoff: true}]\n      - {id: mail, ask: Your address?}\n")
    assert (said(begun), trial.state.flow) == ([], None)
    trial, (begun,) = talk(
        "      - do: [{reply: Bye.}, {pause: 1h}]\n      - {id: mail, ask: Your address?}\n"
    )
    assert (said(begun), trial.state.flow) == (["Bye."], None)


def test_an_option_is_known_by_the_words_that_were_read() -> None:
    """Templates within options: the variable holds what the contact read."""
    steps = "      - {id: plan, ask: {text: Which?, choices: {options: ['{{ contact.first_name }} one', Two]}}, capture: plan}\n"
    assert talk(steps, "1")[0].state.vars == {"plan": "Maria one"}
    assert talk(steps, "maria ONE")[0].state.vars == {"plan": "Maria one"}
    assert talk(steps, "2.")[0].state.vars == {"plan": "Two"}


def test_a_way_out_is_no_answer() -> None:
    """Where an answer has to be valid, a word of `match` that is not leads on, and the variable stays as it was."""
    steps = """\
      - {id: mail, ask: Your address?, capture: mail, validate: {type: email}, match: {none: later}}
      - {id: next, ask: And then?}
      - {id: later, do: [{reply: As you like.}]}
"""
    trial, (_, answered) = talk(steps, "none")
    assert (said(answered), trial.state.vars) == (["As you like."], {})
    trial, (_, answered) = talk(steps, "mary@example.com")
    assert (said(answered), trial.state.vars) == (["And then?"], {"mail": "mary@example.com"})


def test_a_question_that_cannot_be_written_costs_itself_only() -> None:
    """The template of a question, of an option, of the farewell fails: noted, and the message is dealt with."""
    endless = "{% for a in range(999) %}{% for b in range(999) %}{{ a }}{% endfor %}{% endfor %}"
    trial, outcomes = talk(
        f"      - {{id: a, ask: {{text: Which?, choices: {{options: ['{endless}', Two]}}}}, capture: kept}}\n",
        "2",
        "start",
        "1",
    )
    assert [said(outcome) for outcome in outcomes] == [[], [], [], []]
    assert [note.code for note in outcomes[0].notes if note.code == "template_failed"] == ["template_failed"]
    assert trial.state.vars == {"kept": "1"}


def test_a_question_may_stay_open_while_rules_answer() -> None:
    """With `else: rules` an answer that does not fit is a message like any other, and the next one still fits."""
    trial, (_, between, fits) = talk(
        """\
      - {id: many, ask: How many?, capture: many, validate: {type: integer}, retry: 0, else: rules}
""",
        "start again?",
        "3",
    )
    assert said(between) == ["How many?"]
    assert trial.state.vars == {"many": 3}
    assert fits.verdict == "flow"
