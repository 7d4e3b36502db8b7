"""A rule set as it comes: the bytes of a body, read and tried by its own tests before anybody is served by it."""

import re
from dataclasses import dataclass

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from msgspec import Struct

from relay.api.errors import RulesRefused
from relay.api.request import Request
from relay.model.errors import InvalidInput
from relay.replies import schema
from relay.replies.reading.check import read_rules
from relay.replies.rule_tests import run_tests
from relay.replies.said import joined, said

# Paths below /rules that are no rule set's.
_TAKEN = frozenset({"explain", "schema", "shadow"})
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


class Checked(Struct, frozen=True, kw_only=True):
    """What a rule set holds that may be put in force."""

    rules: int
    flows: int
    tests: int


@dataclass
class RulesBody(Operation):
    """An operation whose body is YAML, which no parameter of the handler tells."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING, description="The rule set, as docs/rules.md says.")
        body = OpenAPIMediaType(schema=text)
        self.request_body = RequestBody(content={"application/yaml": body, "text/plain": body}, required=True)


def check_name(name: str) -> None:
    """Raises InvalidInput on what cannot be a rule set's name."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "A rule set's name has 1 to 64 letters, digits, `_`, `-` and `.`, and begins with none of the last two.",
            path="name",
            code="rule_set_name_invalid",
        )
    if name in _TAKEN:
        raise InvalidInput(
            f"A rule set cannot be called {name}: that path means something else.",
            path="name",
            code="rule_set_name_invalid",
        )


async def read_source(request: Request) -> bytes:
    """The body, whatever it says it is: a program that sends a file seldom says `application/yaml`."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise InvalidInput("Send the YAML as the body itself, not as a form.", path="Content-Type")
    return await request.body()


def check_source(source: str | bytes, *, name: str, try_tests: bool) -> tuple[str, Checked]:
    """The text to keep, and what it holds; may take a while.

    Raises RulesInvalid, and RulesRefused where its own tests fail.
    """
    rules = read_rules(source, operator=False)
    if try_tests:
        _try_tests(rules, name)
    text = source if isinstance(source, str) else source.decode("utf-8-sig")
    return text, Checked(rules=len(rules.rules), flows=len(rules.flows), tests=len(rules.tests))


def _try_tests(rules: schema.RuleSet, name: str) -> None:
    failed = [result for result in run_tests(rules, name) if not result.passed]
    if failed:
        raise RulesRefused(
            said(
                "{failed} of {count} tests of this rule set fail; it was not put in force. First: {first}",
                failed=len(failed),
                count=len(rules.tests),
                first=joined([f"{failed[0].name}:", *failed[0].problems], " "),
            ),
            code="rules_tests_failed",
            errors=[{"test": result.name, "detail": joined(result.problems, " ")} for result in failed],
        )
