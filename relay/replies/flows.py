"""Conversations with state: a step asks, the next message of the contact is its answer.

    start ─► step: ask ─► (stored) ─► answer ─┬─ a cancel word ─► cancel_text, end
                ▲                             ├─ fits ─► capture, do, branch ─► next step … ─► end
                └──── asked again ── retry ◄──┴─ does not fit ─► else, or the rules look at it

Where it stands is a `FlowState`; a step is named by its id, or by its place (`#2`).
"""

import re
from collections.abc import Generator
from datetime import date, timedelta
from typing import Any

from msgspec import structs

from relay.replies import schema
from relay.replies.actions import Ends, Go, Run
from relay.replies.matching.match import find_regex
from relay.replies.matching.text import fold
from relay.replies.outcome import Need
from relay.replies.said import said
from relay.replies.situation import FlowState
from relay.replies.templates.render import TemplateFailed

_MOST_STEPS = 50
"""In one decision: a flow that runs in a circle ends."""
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]{1,63}(\.[^@\s.]{1,63}){1,4}")
_NUMBER = re.compile(r"[+-]?\d{1,15}([.,]\d{1,9})?")
_DATES = (re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})"), re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})"))

Steps = Generator[Need, Any, bool]
"""A part of a conversation; True when it has dealt with the message."""


def step_name(flow: schema.Flow, place: int) -> str:
    return flow.steps[place].id or f"#{place + 1}"


def _place(flow: schema.Flow, name: str) -> int | None:
    for place in range(len(flow.steps)):
        if step_name(flow, place) == name:
            return place
    return None


class Conversation:
    """One flow in one decision."""

    def __init__(self, run: Run, name: str) -> None:
        self._run = run
        self._name = name
        self._flow = run.compiled.source.flows[name]
        self._steps_left = _MOST_STEPS

    # --- where to go --------------------------------------------------------------------------------------------

    def start(self) -> Steps:
        self._run.note("flow.started", said("The flow {name} begins.", name=self._name), fired=True)
        return self._go_through(0)

    def _enter(self, name: str) -> Steps:
        """Another flow takes over."""
        self._name, self._flow = name, self._run.compiled.source.flows[name]
        return self.start()

    def _go_through(self, place: int) -> Steps:
        """Steps that only do are done; the first that asks ends the turn."""
        while place < len(self._flow.steps):
            self._at(place)
            self._steps_left -= 1
            if self._steps_left < 0:
                self._run.note("flow.circle", said("The flow runs in a circle and is ended."))
                break
            step = self._flow.steps[place]
            if step.ask is not None:
                self._ask(step.ask, place, tries=0)
                return True
            ends = yield from self._run.do(step.do)
            if ends is not None:
                return (yield from self._follow(ends))
            if self._is_paused():
                break
            place += 1
        self._end()
        return True

    def _is_paused(self) -> bool:
        """A person has been called, or the bot is to keep quiet: nobody asks on."""
        return self._run.outcome.pause_until is not None

    def _follow(self, ends: Ends) -> Steps:
        if ends.go is None:
            self._end()
            return True
        return (yield from self._go(ends.go))

    def _go(self, go: Go) -> Steps:
        target = go.target
        place = None if go.starts else _place(self._flow, target)
        if place is not None:
            return (yield from self._go_through(place))
        if target in self._run.compiled.source.flows:
            self._steps_left -= 1
            if self._steps_left > 0:
                return (yield from self._enter(target))
        if target == "handoff":
            self._run.hand_off()
            return True
        self._end()
        return True

    def _at(self, place: int) -> None:
        self._run.cause = structs.replace(self._run.cause, flow=self._name, step=step_name(self._flow, place))

    def _ask(self, words: str | schema.Reply, place: int, *, tries: int) -> None:
        self._run.say(words)
        run = self._run
        run.outcome.end_flow = False
        run.outcome.flow = FlowState(
            set=run.compiled.key,
            flow=self._name,
            step=step_name(self._flow, place),
            tries=tries,
            expires_at=run.situation.now + timedelta(seconds=self._flow.expire),
        )

    def _end(self) -> None:
        self._run.outcome.flow, self._run.outcome.end_flow = None, True

    # --- the answer ---------------------------------------------------------------------------------------------

    def answer(self, state: FlowState) -> Steps:
        """False where the flow has ended without a word: the rules are to look at the message."""
        place = _place(self._flow, state.step)
        if place is None:
            # The rule set has changed since.
            self._end()
            return False
        self._at(place)
        step, text = self._flow.steps[place], self._run.situation.message.text.strip()
        if fold(text) in {fold(word) for word in self._flow.cancel}:
            return self._cancel()
        given = self._chosen(step, text)
        branch = _branch(step, text, given)
        problem = None if branch is not None else self._misfit(step, given)
        if problem is None:
            return (yield from self._take(step, place, given, branch))
        self._run.note("flow.no_fit", problem)
        if state.tries < step.retry:
            self._ask(step.retry_text or step.ask or "", place, tries=state.tries + 1)
            return True
        if step.else_ == "rules":
            return False
        self._end()
        if step.else_ is None:
            return False
        return (yield from self._branch_to(step.else_, place))

    def _chosen(self, step: schema.Step, text: str) -> str:
        """The option that a number or its own words name, where the step offers choices; else the text."""
        if isinstance(step.ask, schema.Reply) and step.ask.choices is not None:
            for number, option in enumerate(step.ask.choices.options, 1):
                try:
                    shown = self._run.render(option)
                except TemplateFailed:
                    # Nobody has read it.
                    continue
                if _bare(text) in (str(number), _bare(shown)):
                    return shown
        return text

    def _cancel(self) -> bool:
        detail = said("The contact has left the flow {name}.", name=self._name)
        self._run.note("flow.cancelled", detail, fired=True)
        if self._flow.cancel_text is not None:
            self._run.say(self._flow.cancel_text)
        self._end()
        return True

    def _misfit(self, step: schema.Step, given: str) -> str | None:
        if step.match is not None and step.validate is None:
            return said("The answer is none of those that the step knows.")
        if step.validate is None:
            has_file = "mediaId" in self._run.situation.message.content
            return None if given or has_file else said("The answer is empty.")
        return invalid(step.validate, given)

    def _take(self, step: schema.Step, place: int, given: str, branch: schema.Branch | None) -> Steps:
        detail = said("The answer fits the step {step}.", step=step_name(self._flow, place))
        self._run.note("flow.answered", detail, fired=True)
        # A word of `match` may lead out of a question that it is no valid answer to.
        if step.capture is not None and (branch is None or _is_valid(step, given)):
            value: Any = given or self._run.situation.message.content.get("mediaId", "")
            self._run.set({step.capture: _typed(step.validate, value)})
        ends = yield from self._run.do(step.do)
        if ends is not None:
            return (yield from self._follow(ends))
        if branch is not None and not self._is_paused():
            return (yield from self._branch_to(branch, place))
        return (yield from self._go_on(place))

    def _branch_to(self, branch: schema.Branch, place: int) -> Steps:
        if isinstance(branch, str):
            return (yield from self._go(Go(target=branch)))
        ends = yield from self._run.do([branch] if isinstance(branch, schema.Action) else branch)
        if ends is not None:
            return (yield from self._follow(ends))
        return (yield from self._go_on(place))

    def _go_on(self, place: int) -> Steps:
        if self._is_paused():
            self._end()
            return True
        return (yield from self._go_through(place + 1))


def _branch(step: schema.Step, text: str, given: str) -> schema.Branch | None:
    answers = {_bare(text), fold(text), fold(given)}
    for keys, branch in (step.match or {}).items():
        if any(fold(key) in answers for key in keys.split("|")):
            return branch
    return None


def _is_valid(step: schema.Step, given: str) -> bool:
    return step.validate is None or invalid(step.validate, given) is None


def _bare(text: str) -> str:
    """`1)` and `1.` are 1."""
    return fold(text).strip(" .)(-")


def invalid(validate: schema.Validate, given: str) -> str | None:
    """Why an answer does not do; None where it does."""
    if not given:
        return said("The answer is empty.")
    value = _typed(validate, given)
    match validate.type:
        case "number" | "integer" if not isinstance(value, int | float):
            return said("The answer is not a number.")
        case "integer" if not isinstance(value, int):
            return said("The answer is not a whole number.")
        case "email" if not _EMAIL.fullmatch(given):
            return said("The answer is not an e-mail address.")
        case "phone" if not 8 <= len(re.sub(r"\D", "", given)) <= 15:
            return said("The answer is not a phone number.")
        case "date" if value == given and not _is_date(given):
            return said("The answer is not a date.")
        case _:
            pass
    size = value if isinstance(value, int | float) else len(given)
    if (validate.min is not None and size < validate.min) or (
        validate.max is not None and size > validate.max
    ):
        return said("The answer is too small or too large.")
    if validate.regex is not None and find_regex(validate.regex, given) is None:
        return said("The answer does not match.")
    return None


def _is_date(given: str) -> bool:
    return _date(given) is not None


def _date(given: str) -> str | None:
    """ISO, of `2026-12-24` and `24/12/2026`."""
    for order, pattern in enumerate(_DATES):
        found = pattern.fullmatch(given)
        if found:
            first, second, third = map(int, found.groups())
            try:
                return (date(first, second, third) if order == 0 else date(third, second, first)).isoformat()
            except ValueError:
                return None
    return None


def _typed(validate: schema.Validate | None, given: str) -> Any:
    """The answer as the variable keeps it."""
    kind = validate.type if validate is not None else None
    if kind in ("number", "integer") and _NUMBER.fullmatch(given):
        number = float(given.replace(",", "."))
        return int(number) if number.is_integer() else number
    if kind == "date":
        return _date(given) or given
    return given
