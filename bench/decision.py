"""What a decision costs in process: 500 rules, messages of about 40 characters that few rules are for.

Found early, found late, not found; matching alone, and the whole decision with its templates. Each message is another
one, and the first pass over them is not counted: RE2 builds its automata as texts come by.
"""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from bench.figures import show
from bench.plan import Plan
from relay.model.ids import ContactId, SessionId, TenantId, new_message_id
from relay.model.session import BotSettings
from relay.replies import schema
from relay.replies.book import Book, compile_set, make_book
from relay.replies.decide import decide
from relay.replies.matching.match import Matcher
from relay.replies.outcome import Outcome
from relay.replies.situation import ChatState, Contact, Incoming, Situation

_RULES = 500
_MESSAGES = 1000
_TARGET = "<= 100"
_SMALL_TALK = [
    "oi",
    "bom",
    "dia",
    "tudo",
    "bem",
    "queria",
    "saber",
    "se",
    "voces",
    "ainda",
    "tem",
    "para",
    "hoje",
    "obrigado",
    "pode",
    "me",
    "ajudar",
    "com",
    "isso",
]
_SYLLABLES = [consonant + vowel for consonant in "bcdfglmnprstv" for vowel in "aeiou"]


async def measure(plan: Plan) -> None:
    book = _make_book()
    runs = max(plan.runs, 5)
    for kind, topic in (("early", _topic(0)), ("late", _topic(_RULES - 3)), ("miss", "")):
        situations = [_situation(text) for text in _texts(topic)]
        note = f"{_RULES} rules, {kind}"
        matching = _measure(lambda one: _match(one, book.matcher), situations, runs)
        show(f"decision.matching.{kind}", matching, "µs", note=note)
        deciding = _measure(lambda one: _decide(one, book), situations, runs)
        show(f"decision.{kind}", deciding, "µs", target=_TARGET, note=f"{note}; matched, decided, rendered")


def _measure(do: Callable[[Situation], object], situations: Sequence[Situation], runs: int) -> list[float]:
    """The mean of each run, in µs of this thread: whatever else the machine does is not part of a decision."""
    means = []
    for _run in range(runs + 1):
        started = time.thread_time()
        for situation in situations:
            do(situation)
        means.append((time.thread_time() - started) / len(situations) * 1e6)
    return means[1:]


def _match(situation: Situation, matcher: Matcher) -> object:
    return next(matcher.find(matcher.look_at(situation.message, situation.contact)), None)


def _decide(situation: Situation, book: Book) -> Outcome:
    decision = decide(situation, book)
    try:
        next(decision)
    except StopIteration as ended:
        outcome: Outcome = ended.value
        return outcome
    raise AssertionError("These rules ask nobody.")


# --- rules and messages ---------------------------------------------------------------------------------------------


def _topic(number: int) -> str:
    """A word of its own for every rule."""
    chosen = random.Random(number)
    return "".join(chosen.choice(_SYLLABLES) for _ in range(4))


def _when(number: int) -> dict[str, object]:
    """Of a hundred: 55 keywords, 20 contains, 10 regexes, 10 equals, 3 for groups, 2 with spelling mistakes."""
    topic = _topic(number)
    match number % 100:
        case 50 | 51:
            return {"fuzzy": [f"quero {topic}", topic]}
        case 52 | 53 | 54:
            return {"chats": "mentioned", "keyword": topic}
        case place if place < 55 or place >= 95:
            return {"keyword": [topic, f"meu {topic}"], "not": [{"contains": "atendente"}]}
        case place if place < 75:
            return {"any": [{"contains": topic}, {"starts": f"{topic} por"}]}
        case place if place < 85:
            return {"types": ["text"], "regex": rf"\b{topic} (?P<order>\d{{2,6}})\b"}
        case _:
            return {"equals": [topic, f"{topic}!"]}


def _make_book() -> Book:
    rules = [
        {
            "id": f"rule-{number}",
            "when": _when(number),
            "do": [{"reply": "Olá {{ contact.first_name }}! {{ greeting }}"}],
        }
        for number in range(_RULES)
    ]
    rule_set = msgspec.convert({"version": 1, "rules": rules}, schema.RuleSet)
    return make_book([compile_set(rule_set, name="bench", version=1, own=True)])


def _texts(topic: str) -> list[str]:
    chosen = random.Random(topic)
    texts = []
    for _ in range(_MESSAGES):
        words = [chosen.choice(_SMALL_TALK) for _ in range(7)]
        if topic:
            words[chosen.randrange(len(words))] = topic
        texts.append(" ".join(words).capitalize())
    return texts


def _situation(text: str) -> Situation:
    now = datetime(2026, 1, 5, 15, tzinfo=UTC)
    message = Incoming(
        id=new_message_id(),
        tenant_id=TenantId("ten_bench"),
        session_id=SessionId("ses_bench"),
        session_name="bench",
        session_phone="5511900000000",
        chat="5511912345678@s.whatsapp.net",
        chat_type="private",
        type="text",
        text=text,
        content={"text": text},
        sender_name="Maria",
        mentioned=False,
        by_owner=False,
        offline=False,
        answered=False,
        sent_at=now,
    )
    contact = Contact(id=ContactId("con_bench"), name="Maria", pn="5511912345678", lid=None, first=False)
    return Situation(message=message, contact=contact, chat=ChatState(), settings=BotSettings(), now=now)
