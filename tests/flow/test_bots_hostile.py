"""Rules, messages and servers that mean harm: each is refused with a sentence or costs a bounded amount, and another
company's bot answers meanwhile.

One `relay serve` lives through all of it. A neighbour's customer writes while the hostile company is at work; what
it may cost the neighbour is a generous bound, for machines that are busy with other things.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.flow.bot_talk import Server, Shop, open_shop, phone
from tests.flow.serving import Relay, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEIGHBOUR_SECONDS = 5.0
PEOPLE = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    async with serving(folder) as relay:
        yield relay


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def neighbour(relay: Relay) -> AsyncIterator[Shop]:
    async with open_shop(relay) as neighbour:
        await neighbour.obeys('version: 1\nrules: [{id: hi, when: {equals: oi}, do: [{reply: "Olá!"}]}]')
        yield neighbour


@asynccontextmanager
async def undisturbed(neighbour: Shop) -> AsyncIterator[None]:
    """While the block is at work, a neighbour's customers are answered, one after the other, each in time."""
    done = asyncio.Event()

    async def write() -> list[float]:
        seconds: list[float] = []
        while not done.is_set() or not seconds:
            began = time.monotonic()
            assert await neighbour.says(neighbour.somebody(), "oi") == ["Olá!"]
            seconds.append(time.monotonic() - began)
        return seconds

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        yield
        done.set()
    assert max(writing.result()) < NEIGHBOUR_SECONDS


# --- rules -------------------------------------------------------------------------------------------------------


def rule(when: str, *, do: str = '[{reply: "x"}]') -> str:
    return f"version: 1\nrules:\n  - {{id: a, when: {when}, do: {do}}}\n"


def bomb() -> str:
    levels = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 9)]
    return "version: 1\na0: &a0 [x]\n" + "\n".join(levels)


HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "a bomb of aliases": (bomb(), "Anchors"),
    "a merge of itself": ("version: 1\n<<: *version", "Aliases"),
    "a tag of Python's": ("version: 1\nrules: !!python/object/apply:os.system [id]", "Tags"),
    "depth": ("version: " + "[" * 100_000, "levels"),
    "depth in blocks": ("\n".join(" " * depth + "a:" for depth in range(500)), "levels"),
    "a text that is too long": ("version: 1\n#" + "x" * 300_000, "262144"),
    "bytes that are no text": (b"version: 1\n\xff\xfe\x00", "UTF-8"),
    "a NUL": ('version: 1\ndescription: "a\\0b"', "cannot be kept"),
    "two documents": ("version: 1\n---\nversion: 1", "document"),
    "a key twice": ("version: 1\nversion: 1", "version"),
    "a number without an end": ("version: 1\nrules: [{id: a, priority: " + "9" * 100_000 + "}]", "priority"),
    "3,000 rules": ("version: 1\nrules:\n" + "  - {id: a, when: {always: true}, do: [{stop: true}]}\n" * 3000, "20000"),
    "a regex with back references": (rule(r"{regex: '(a)\1'}"), "RE2"),
    "a regex that becomes too large": (rule("{regex: '((a{1,100}){1,100}){1,100}'}"), "repetition"),
    "a regex of thousands of states": (rule("{regex: '((abcdef|gh){1,30}){1,30}x'}"), "too large"),
    "regexes that are too large together": (
        rule(f"{{regex: [{', '.join(repr(f'(.{{1,200}}){number}') for number in range(300))}]}}"),
        "too large together",
    ),
    "a template that is none": (rule("{always: true}", do='[{reply: "{% for %}"}]'), "template"),
    "a template that includes": (rule("{always: true}", do="""[{reply: '{% include "/etc/passwd" %}'}]"""), "include"),
    "a template of Python's insides": (
        rule("{always: true}", do="""[{reply: '{{ "".__class__.__mro__ }}'}]"""),
        "__class__",
    ),
}  # fmt: skip


async def test_hostile_rules_are_refused(shop: Shop, neighbour: Shop) -> None:
    """All of them at once: each 422 with a sentence and the line, and nothing is put in force."""
    async with undisturbed(neighbour), asyncio.TaskGroup() as group:
        began = time.monotonic()
        puts = {
            name: group.create_task(shop.caller.put("/api/v1/rules/bad", content=text, timeout=30))
            for name, (text, _) in HOSTILE.items()
        }
    assert time.monotonic() - began < 20
    answers = {name: task.result() for name, task in puts.items()}
    for name, (_, word) in HOSTILE.items():
        assert answers[name].status_code == 422, (name, answers[name].text[:300])
        problem = answers[name].json()
        assert word in json.dumps(problem, ensure_ascii=False), (name, problem)
        assert problem["code"] == "rules_invalid"
        assert problem["errors"][0]["line"] >= 1, (name, problem)
        assert len(answers[name].content) < 100_000, name
    assert (await shop.caller.get("/api/v1/rules/bad")).status_code == 404


# --- what is in force ---------------------------------------------------------------------------------------------


async def everybody_writes(shop: Shop, given: Any) -> list[list[Any]]:
    """What each of many hears who write the same."""
    people = [shop.somebody() for _ in range(PEOPLE)]
    for person in people:
        await shop.hears(person, given)
    await shop.settles(seconds=60)
    return [await shop.heard(phone(person)) for person in people]


async def test_a_template_that_would_run_for_ever(shop: Shop, neighbour: Shop) -> None:
    """It is ended, and costs its own reply only."""
    loops = "".join(f"{{% for i{depth} in range(900) %}}" for depth in range(4))
    ends = "{% endfor %}" * 4
    await shop.obeys(
        f"""
        version: 1
        rules:
          - id: endless
            when: {{always: true}}
            do:
              - reply: "{loops}{ends}"
              - reply: "{{% for a in range(900) %}}{{{{ message.text | upper | lower | replace('a', message.text) }}}}{{% endfor %}}"
              - set: {{grown: "{{% for a in range(900) %}}{{{{ message.text }}}}{{% endfor %}}"}}
              - reply: end
        """
    )
    async with undisturbed(neighbour):
        heard = await everybody_writes(shop, "a" * 1000)
    assert heard == [["end"]] * PEOPLE


async def test_hostile_expressions_over_long_messages(shop: Shop, neighbour: Shop) -> None:
    """60,000 characters that other engines would look at for years."""
    hostile = [
        "(a+)+$",
        "(a|aa)+$",
        "(x+x+)+y",
        "(.*a){15}b",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
        "(a?){50}(a){50}b",
    ]
    rules = "\n".join(
        f"  - {{id: r{number}, priority: 5, when: {{regex: '{hostile[number % 6]}{number}'}}, do: [{{reply: never}}]}}"
        for number in range(120)
    )
    fuzzy = (
        "  - {id: like, priority: 2, when: {fuzzy: [aaaaaaaaaaaaab, bbbbbbbbbbbbba]}, do: [{reply: alike}]}"
    )
    await shop.obeys(
        f"version: 1\nrules:\n{rules}\n{fuzzy}\n  - {{id: rest, when: {{always: true}}, do: [{{reply: rest}}]}}"
    )
    async with undisturbed(neighbour):
        heard = await everybody_writes(shop, "a" * 60_000)
    assert all(len(one) == 1 and one[0] in ("rest", "alike") for one in heard)


async def test_flows_that_run_in_a_circle(shop: Shop, neighbour: Shop) -> None:
    """They end, and what they say on the way is no more than twenty messages."""
    await shop.obeys(
        """
        version: 1
        rules: [{id: start, when: {always: true}, do: [{flow: one}]}]
        flows:
          one: {steps: [{id: a, do: [{reply: "{{ message.text }}"}, {goto: b}]}, {id: b, do: [{goto: a}]}]}
          two: {steps: [{do: [{goto: three}]}]}
          three: {steps: [{do: [{flow: two}]}]}
        """
    )
    async with undisturbed(neighbour):
        heard = await everybody_writes(shop, "roda")
    assert all(set(one) == {"roda"} and len(one) <= 20 for one in heard)


async def test_answers_of_servers_that_mean_harm(shop: Shop, neighbour: Shop, server: Server) -> None:
    """10 MB, a JSON without an end of brackets, a template in what comes back: none is taken for what it is not."""
    server.answers |= {
        "/large": json.dumps({"text": "x" * 10_000_000}).encode(),
        "/deep": b"[" * 200_000,
        "/template": {"say": "{{ contact.phone }}{% for a in range(900) %}x{% endfor %}"},
    }
    call = "{{http: {{url: '{url}/{path}', as: it, else: [{{reply: failed}}]}}}}"
    calls = {path: call.format(url=server.url, path=path) for path in ("large", "deep", "template")}
    await shop.obeys(
        f"""
        version: 1
        rules:
          - {{id: large, when: {{equals: large}}, do: [{calls["large"]}, {{reply: never}}]}}
          - {{id: deep, when: {{equals: deep}}, do: [{calls["deep"]}, {{reply: "{{{{ it.json }}}}."}}]}}
          - {{id: template, when: {{equals: template}}, do: [{calls["template"]}, {{reply: "{{{{ it.json.say }}}}"}}]}}
        """
    )
    async with undisturbed(neighbour):
        assert await everybody_writes(shop, "large") == [["failed"]] * PEOPLE
        assert await everybody_writes(shop, "deep") == [["."]] * PEOPLE
        said = server.answers["/template"]["say"]
        assert await everybody_writes(shop, "template") == [[said]] * PEOPLE


async def test_a_server_that_hangs(shop: Shop, neighbour: Shop, server: Server) -> None:
    """More customers of the company wait for it than may at once; the neighbour's wait for nobody."""
    server.answers["/hang"] = None
    await shop.obeys(
        """
        version: 1
        rules: [{id: hang, when: {always: true}, do: [{http: {url: "$URL/hang", timeout: 3s, else: [{reply: late}]}}]}]
        """,
        url=server.url,
    )
    async with undisturbed(neighbour):
        assert await everybody_writes(shop, "oi") == [["late"]] * PEOPLE
