"""Several rules for one message: what one does is there for those below it, and the explanation says the same."""

from relay.plugin import Abilities
from relay.replies.book import Book, compile_set, make_book
from relay.replies.decide import decide
from relay.replies.outcome import AskAction, AskCondition, BeforeReply, OfPlugins, Outcome, PluginAnswer
from relay.replies.reading.check import read_rules
from relay.replies.schema import Given
from relay.replies.situation import Contact
from relay.replies.trial import Trial
from tests.unit.bot_situations import contact, incoming, situation

STEPS = """\
version: 1
rules:
  - {id: learn, when: {regex: 'i am (?P<who>.+)'}, do: [{set: {who: "{{ match.who }}"}}, {tag: known}, {untag: new}, {continue: true}]}
  - {id: tagged, when: {keyword: am, tags: known}, do: [{reply: tagged}, {unset: who}, {continue: true}]}
  - {id: fresh, when: {tags: new}, do: [{reply: fresh}, {continue: true}]}
  - {id: gone, when: {always: true}, if: [{vars: {who: {exists: false}}}, {tags: known}], do: [{set: {who: z}}, {continue: true}]}
  - {id: named, when: {always: true}, if: [{vars: {who: z}}], do: [{reply: "{{ who }} {{ contact.tags|join }}"}]}
"""


def book(rules: str) -> Book:
    return make_book([compile_set(read_rules(rules, operator=False), name="set", version=1, own=True)])


def decided(rules: str, text: str, who: Contact, *, explain: bool = False) -> Outcome:
    try:
        next(decide(situation(message=incoming(text), who=who), book(rules), explain=explain))
    except StopIteration as ended:
        outcome: Outcome = ended.value
        return outcome
    raise AssertionError("These rules ask nobody.")


def said(outcome: Outcome) -> list[str]:
    return [message.content["text"] for message in outcome.messages]


def test_rules_see_what_those_before_them_have_done() -> None:
    """In triggers, conditions and templates: variables and tags that came, and that went."""
    outcome = decided(STEPS, "i am ana", contact(tags=frozenset({"new"})))
    assert said(outcome) == ["tagged", "z known"]
    assert [cause.rule for cause in outcome.fired] == ["learn", "tagged", "gone", "named"]
    assert (outcome.set, outcome.unset, outcome.tag, outcome.untag) == ({"who": "z"}, [], ["known"], ["new"])
    # Nothing of it where the first is for another message.
    assert said(decided(STEPS, "am i?", contact(tags=frozenset({"new"})))) == ["fresh"]


def test_the_explanation_tells_it_as_it_was() -> None:
    """The same rules fire, and each that does not says what stood in its way when it was its turn."""
    who = contact(tags=frozenset({"new"}), vars={"who": "z"})
    outcome = decided(STEPS, "i am ana", who, explain=True)
    assert said(outcome) == ["tagged", "z known"]
    assert [(note.rule, note.code) for note in outcome.notes] == [
        ("learn", "fired"),
        ("tagged", "fired"),
        ("fresh", "trigger.tags"),
        ("gone", "fired"),
        ("named", "fired"),
    ]
    (quiet,) = (note for note in decided(STEPS, "am i?", who, explain=True).notes if note.rule == "tagged")
    assert quiet.detail == 'The contact has no tag "known".'


def test_the_last_word_on_a_tag_counts() -> None:
    """Taken away and given again, or the other way round; for the rules below and for what is stored."""
    rules = """\
version: 1
rules:
  - {id: change, when: {equals: gold}, do: [{untag: [gold, silver]}, {tag: gold}, {continue: true}]}
  - {id: back, when: {equals: none}, do: [{tag: gold}, {untag: gold}, {continue: true}]}
  - {id: gold, when: {tags: gold}, do: [{reply: gold}]}
"""
    trial = Trial.of(read_rules(rules, operator=False), name="tags")
    outcome = trial.say(Given(text="gold", tags=["silver"]))
    assert (said(outcome), outcome.tag, outcome.untag, trial.state.tags) == (
        ["gold"],
        ["gold"],
        ["silver"],
        ["gold"],
    )
    outcome = trial.say(Given(text="none"))
    assert (said(outcome), outcome.tag, outcome.untag, trial.state.tags) == ([], [], ["gold"], [])


def test_each_rule_has_the_groups_of_its_own_regex() -> None:
    """Also where one before it has found others."""
    rules = r"""
version: 1
rules:
  - {id: name, when: {regex: 'i am (?P<what>\w+)'}, do: [{set: {name: "{{ match.what }}"}}, {continue: true}]}
  - {id: order, when: {regex: 'order (?P<what>\d+)'}, do: [{reply: "{{ name }}: {{ match.what }}"}]}
"""
    assert said(decided(rules, "i am ana, order 42", contact())) == ["ana: 42"]


def test_shadow_rules_see_what_was_done_and_do_nothing() -> None:
    """What such a rule would set is seen by nobody."""
    rules = """\
version: 1
rules:
  - {id: set, when: {always: true}, do: [{set: {n: "{{ 1 }}"}}, {continue: true}]}
  - {id: ghost, shadow: true, when: {always: true}, if: [{vars: {n: 1}}], do: [{reply: "{{ n }}"}, {set: {n: 2}}]}
  - {id: rest, when: {always: true}, do: [{reply: "{{ n }}"}]}
"""
    outcome = decided(rules, "a", contact())
    assert ([one.content["text"] for one in outcome.shadow], said(outcome)) == (["1"], ["1"])


def test_plugins_are_shown_the_contact_as_it_is_by_then() -> None:
    """Their conditions and actions; what they set, later rules see."""
    rules = """\
version: 1
rules:
  - {id: ask, when: {always: true}, do: [{tag: one}, {plugin: shop.price}, {continue: true}]}
  - {id: held, when: {tags: two}, if: [{vars: {price: 7}}, {plugin: {shop.open: {}}}], do: [{reply: "{{ price }}"}]}
"""
    with_plugins = make_book(
        [compile_set(read_rules(rules, operator=False), name="set", version=1, own=True)],
        Abilities(edits=True),
    )
    decision = decide(situation(), with_plugins)
    answers = [None, PluginAnswer(set={"price": 7}, tag=["two"]), True]
    asked = [decision.send(answer) for answer in answers]
    assert [type(need) for need in asked] == [AskAction, AskCondition, BeforeReply]
    seen = [need.contact for need in asked if isinstance(need, OfPlugins)]
    assert [(sorted(who.tags), who.vars) for who in seen] == [
        (["one"], {}),
        (["one", "two"], {"price": 7}),
    ]
