"""What a rule set's structs cannot see: names that lead nowhere, patterns and templates that are none, whose set it is.

    text ──► parse ──► check ──► RuleSet, fit to be put in force
                └─────────┴──► RulesInvalid with every problem

`read_rules` is the one door: whatever comes through it needs no second look.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from relay.replies import schema
from relay.replies.reading.calendar_names import calendar_faults
from relay.replies.reading.convert import PROBLEMS_MOST
from relay.replies.reading.parse import Marks, in_order, parse
from relay.replies.reading.part_checks import Fault, part_faults, walk
from relay.replies.reading.problems import Path, Problem, RulesInvalid
from relay.replies.reading.wording import quote, unknown
from relay.replies.said import said

_ENDS = frozenset({"end", "handoff"})
_RULES = "rules"
"""Of `else` alone."""
"""Where a flow can go besides steps and flows."""


def read_rules(text: str | bytes, *, operator: bool) -> schema.RuleSet:
    """The rule set of a text. `operator`: of a file in `rules/`; otherwise a tenant's own. Raises RulesInvalid."""
    rule_set, marks = parse(text)
    problems = check(rule_set, marks, operator=operator)
    if problems:
        raise RulesInvalid(problems)
    return rule_set


def check(rule_set: schema.RuleSet, marks: Marks, *, operator: bool) -> list[Problem]:
    """In the order of the text; empty where nothing is wrong."""
    faults = islice(_faults(rule_set, operator=operator), PROBLEMS_MOST)
    return in_order([marks.problem(path, detail) for path, detail in faults])


def _faults(rule_set: schema.RuleSet, *, operator: bool) -> Iterator[Fault]:
    if operator and not rule_set.tenants:
        yield (
            ("tenants",),
            said("is missing: an operator's file says whom it serves, as `tenants: ['*']` for all."),
        )
    if not operator and rule_set.tenants is not None:
        yield (
            ("tenants",),
            said("is for the operator's files only: a company's own rules serve it alone. Remove it."),
        )
    yield from _name_faults(rule_set)
    yield from part_faults(rule_set)
    yield from _target_faults(rule_set)
    yield from calendar_faults(rule_set)


def _name_faults(rule_set: schema.RuleSet) -> Iterator[Fault]:
    """A name is one thing's only."""
    yield from _repeated(
        [(("rules", place, "id"), rule.id) for place, rule in enumerate(rule_set.rules)], said("another rule")
    )
    yield from _repeated(
        [(("tests", place, "name"), test.name) for place, test in enumerate(rule_set.tests)],
        said("another test"),
    )
    for name, flow in rule_set.flows.items():
        steps = [
            (("flows", name, "steps", place, "id"), step.id)
            for place, step in enumerate(flow.steps)
            if step.id
        ]
        yield from _repeated(steps, said("another step"))
        named = [(("flows", name), name), *steps]
        reserved = [path for path, given in named if given in _ENDS or given == _RULES]
        for path in reserved:
            yield path, said("cannot be named `end`, `handoff` or `rules`: these say where a flow goes.")


def _repeated(named: Sequence[tuple[Path, str]], other: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for path, name in named:
        if name in seen:
            yield path, said("{name} is {other}'s already: choose another.", name=quote(name), other=other)
        seen.add(name)


def _target_faults(rule_set: schema.RuleSet) -> Iterator[Fault]:
    """Within a flow one goes to its steps, another flow, or an end; elsewhere to flows."""
    flows = rule_set.flows
    here = {name: {step.id for step in flow.steps if step.id} | _ENDS for name, flow in flows.items()}
    for path, part in walk(rule_set):
        if isinstance(part, schema.Action) and part.flow is not None and part.flow not in flows:
            yield (*path, "flow"), unknown(part.flow, flows, said("flow"))
        steps = here[str(path[1])] if path[:1] == ("flows",) and len(path) > 1 else set()
        for where, target in _targets(part):
            if target not in flows and target not in steps:
                kind = said("step or flow") if steps else said("flow")
                yield (*path, *where), unknown(target, [*steps, *flows], kind)


def _targets(part: object) -> Iterator[tuple[Path, str]]:
    if isinstance(part, schema.Action) and part.goto is not None:
        yield ("goto",), part.goto
    if isinstance(part, schema.Step):
        for answer, branch in (part.match or {}).items():
            if isinstance(branch, str):
                yield ("match", answer), branch
        if isinstance(part.else_, str) and part.else_ != _RULES:
            yield ("else",), part.else_
