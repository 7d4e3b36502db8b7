"""The text of a rule set: YAML, bounded, into the structs of the schema.

    text ──► yaml_nodes ──► convert (and shapes) ──► RuleSet, and Marks that know where everything stands
                 └──────────────┴──► RulesInvalid with every problem found

`check.read_rules` is the door for everybody else: it also sees to what the structs cannot.
"""

from functools import cache

from msgspec import inspect

from relay.replies.reading.convert import Converter, TooManyProblems
from relay.replies.reading.problems import Path, Problem, RulesInvalid, spell
from relay.replies.reading.yaml_nodes import Node, NotReadable, find_node, read_nodes
from relay.replies.said import said
from relay.replies.schema import RuleSet


class Marks:
    """Where the parts of a rule set stand in its text."""

    def __init__(self, root: Node) -> None:
        self._root = root

    def problem(self, path: Path, detail: str) -> Problem:
        """About what stands at `path`, or would stand there."""
        node = find_node(self._root, path)
        return Problem(line=node.line, column=node.column, path=spell(path), detail=detail)


def parse(text: str | bytes) -> tuple[RuleSet, Marks]:
    """Raises RulesInvalid."""
    try:
        root = read_nodes(text)
    except NotReadable as error:
        problem = Problem(line=error.line, column=error.column, path="", detail=error.detail)
        raise RulesInvalid([problem]) from None
    if root is None:
        detail = said("Is empty: begin with `version: 1`.")
        raise RulesInvalid([Problem(line=1, column=1, path="", detail=detail)])
    converter = Converter()
    try:
        rule_set = converter.read(root, _wanted())
    except TooManyProblems:
        raise RulesInvalid(in_order(converter.problems)) from None
    if converter.problems:
        raise RulesInvalid(in_order(converter.problems))
    return rule_set, Marks(root)


def in_order(problems: list[Problem]) -> list[Problem]:
    """As they stand in the text."""
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


@cache
def _wanted() -> inspect.Type:
    return inspect.type_info(RuleSet)
