"""Doing what a rule or a step says: each action adds to the outcome, or yields what it needs.

reply ─► Planned     set, tag … ─► the contact     http, plugin ─► Need, its answer for the templates after it
flow, goto ─► Go     agent, handoff, pause ─► the chat     stop, continue ─► what comes after this rule
"""

from collections.abc import Generator, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from msgspec import Struct, structs

from relay.replies import schema
from relay.replies.book import Compiled
from relay.replies.outcome import (
    AgentTurn,
    AskAction,
    Cause,
    Emitted,
    HttpAnswer,
    HttpCall,
    Need,
    Note,
    Outcome,
    Planned,
    PluginAnswer,
)
from relay.replies.rendering import plan_reply
from relay.replies.said import said
from relay.replies.situation import Contact, Situation
from relay.replies.templates.render import TemplateFailed, values_of

_WAIT_MOST_SECONDS = 600.0
_TYPING_MOST_SECONDS = 60.0
_MESSAGES_MOST = 20


class Go(Struct, frozen=True, kw_only=True):
    """Where a flow is to go on."""

    target: str
    starts: bool = False
    """It names a flow, not a step."""


class Ends(Struct, frozen=True, kw_only=True):
    """The actions after it are left out."""

    go: Go | None = None
    stops: bool = False


class Run:
    """One decision on its way: what has been planned, and what templates see."""

    def __init__(self, situation: Situation, compiled: Compiled, cause: Cause, outcome: Outcome) -> None:
        self.situation = situation
        self.compiled = compiled
        self.cause = cause
        self.outcome = outcome
        self.dry = False
        """Nothing outside is asked: a shadow rule's run."""
        self.continues = False
        self.answers: dict[str, Any] = {}
        self._typing_seconds = self._wait_seconds = 0.0
        self._values: dict[str, Any] | None = None
        self._calls = 0

    # --- templates ----------------------------------------------------------------------------------------------

    def values(self) -> dict[str, Any]:
        if self._values is None:
            self._values = values_of(
                structs.replace(self.situation, contact=self._contact()),
                calendar=self.compiled.calendar,
                match=self.outcome.match,
                answers=self.answers,
                language=self.compiled.source.defaults.language,
            )
        return self._values

    def _contact(self) -> Contact:
        return self.outcome.contact_after(self.situation.contact)

    def render(self, source: str) -> str:
        return self.compiled.templates.render(source, self.values())

    def render_all(self, value: Any) -> Any:
        return self.compiled.templates.render_all(value, self.values())

    def changed(self) -> None:
        """What templates see has changed."""
        self._values = None

    def note(self, code: str, detail: str, *, fired: bool = False) -> None:
        cause = self.cause
        self.outcome.notes.append(
            Note(
                rule_set=cause.rule_set,
                rule=cause.rule,
                flow=cause.flow,
                step=cause.step,
                fired=fired,
                code=code,
                detail=detail,
            )
        )

    # --- actions ------------------------------------------------------------------------------------------------

    def do(self, actions: Sequence[schema.Action]) -> Generator[Need, Any, Ends | None]:
        """One after the other; a template that fails costs its own action only."""
        for action in actions:
            try:
                ends = yield from self._do(action)
            except TemplateFailed as error:
                self.note("template_failed", error.detail)
                continue
            if ends is not None:
                return ends
        return None

    def _do(self, action: schema.Action) -> Generator[Need, Any, Ends | None]:
        if action.http is not None:
            return (yield from self._call(action.http))
        if action.plugin is not None:
            return (yield from self._ask_plugin(action.plugin))
        if action.flow is not None:
            return Ends(go=Go(target=action.flow, starts=True))
        if action.goto is not None:
            return Ends(go=Go(target=action.goto))
        if action.stop:
            return Ends(stops=True)
        if action.continue_:
            self.continues = True
        self._do_at_once(action)
        return None

    def _do_at_once(self, action: schema.Action) -> None:
        if action.reply is not None:
            self.say(action.reply)
        elif action.typing is not None:
            self._typing_seconds = min(self._typing_seconds + action.typing, _TYPING_MOST_SECONDS)
        elif action.wait is not None:
            self._wait_seconds = min(self._wait_seconds + action.wait, _WAIT_MOST_SECONDS)
        elif action.agent is not None:
            self._hand_to_agent(action.agent)
        elif action.emit is not None:
            self._emit(action.emit)
        elif action.handoff or action.pause is not None or action.resume:
            self._do_to_chat(action)
        else:
            self._do_to_contact(action)

    def _do_to_contact(self, action: schema.Action) -> None:
        outcome = self.outcome
        if action.set is not None:
            self.set(self.render_all(action.set))
        for name in _list(action.unset):
            outcome.unset.append(name)
            outcome.set.pop(name, None)
        outcome.tag_with([self.render(tag) for tag in _list(action.tag)])
        outcome.untag_from(_list(action.untag))
        self.changed()

    def set(self, values: dict[str, Any]) -> None:
        self.outcome.set |= values
        self.outcome.unset = [name for name in self.outcome.unset if name not in values]
        self.outcome.remember_seconds = self.compiled.source.defaults.remember
        self.changed()

    def _do_to_chat(self, action: schema.Action) -> None:
        if action.handoff:
            given = action.handoff if isinstance(action.handoff, schema.HandoffAction) else None
            self.hand_off(given)
        elif action.pause is not None:
            self.pause(action.pause)
        else:
            self.outcome.resume = True

    def pause(self, seconds: float, *, reason: str = "rule") -> None:
        until = self.situation.now + timedelta(seconds=seconds)
        outcome = self.outcome
        outcome.pause_until, outcome.resume, outcome.stop_agent, outcome.end_flow = until, False, True, True
        outcome.flow = None
        outcome.events.append(Emitted(type="automation.paused", data={"reason": reason, "until": until}))

    def hand_off(self, given: schema.HandoffAction | None = None) -> None:
        """A person is wanted: the bot says no more once its words are out."""
        default = self.compiled.source.defaults.pause
        seconds = default if given is None or given.pause is None else given.pause
        until = self.situation.now + timedelta(seconds=seconds)
        note = self.render(given.note) if given is not None and given.note is not None else None
        outcome = self.outcome
        outcome.pause_until, outcome.resume, outcome.stop_agent, outcome.end_flow = until, False, True, True
        outcome.flow = outcome.agent = None
        outcome.events.append(Emitted(type="automation.handoff", data={"note": note, "pausedUntil": until}))

    # --- words --------------------------------------------------------------------------------------------------

    def say(self, reply: str | schema.Reply) -> None:
        """A flow's question as well: one whose template fails is left out, and the rest goes on."""
        try:
            planned = plan_reply(self, reply)
        except TemplateFailed as error:
            self.note("template_failed", error.detail)
            return
        for message in planned:
            self.plan(message)

    def plan(self, message: Planned) -> None:
        if len(self.outcome.messages) >= _MESSAGES_MOST:
            detail = said(
                "More than {most} messages for one answer: the rest is left out.", most=_MESSAGES_MOST
            )
            self.note("too_many", detail)
            return
        self.outcome.messages.append(
            structs.replace(
                message,
                typing_seconds=message.typing_seconds or self._typing_seconds,
                wait_seconds=message.wait_seconds or self._wait_seconds,
            )
        )
        self._typing_seconds = self._wait_seconds = 0.0

    def _hand_to_agent(self, given: str | schema.AgentAction) -> None:
        if isinstance(given, str):
            given = schema.AgentAction(name=given)
        fallback = None if given.fallback is None else self.render(given.fallback)
        self.outcome.agent = AgentTurn(
            agent=given.name,
            debounce_seconds=given.debounce,
            fallback=fallback,
            cause=structs.replace(self.cause, agent=given.name),
        )

    def _emit(self, given: str | schema.EmitAction) -> None:
        if isinstance(given, str):
            given = schema.EmitAction(name=given)
        data = {"name": given.name, "data": self.render_all(given.data)}
        self.outcome.events.append(Emitted(type="automation.event", data=data))

    # --- needs --------------------------------------------------------------------------------------------------

    def _call(self, given: schema.HttpAction) -> Generator[Need, Any, Ends | None]:
        self._calls += 1
        if self.dry:
            answer = HttpAnswer(error=said("A shadow rule calls nobody."))
        else:
            answer = yield HttpCall(
                method=given.method,
                url=self.render(given.url),
                headers={name: self.render(value) for name, value in given.headers.items()},
                body=self.render_all(given.body),
                timeout_seconds=given.timeout,
                key=self._call_key(),
            )
        # For templates, so in a word of Python's own.
        error = None if answer.error is None else str(answer.error)
        self.answers[given.as_] = structs.asdict(answer) | {"ok": answer.ok, "error": error}
        self.changed()
        if answer.ok:
            return None
        self.note(
            "http_failed", answer.error or said("The HTTP call answered {status}.", status=answer.status)
        )
        if given.otherwise is None:
            return None
        return (yield from self.do(given.otherwise)) or Ends()

    def _call_key(self) -> str:
        """The same however often the message is decided on; another for each call, whichever sets' rules make them."""
        # A file's name may have any letters, a header not.
        rules = quote(self.compiled.key, safe=":")
        return f"{self.situation.message.id}-{rules}/{self.cause.rule or self.cause.step}-{self._calls}"

    def _ask_plugin(self, given: str | schema.PluginAction) -> Generator[Need, Any, Ends | None]:
        if isinstance(given, str):
            given = schema.PluginAction(name=given)
        if not self.dry:
            arguments = self.render_all(given.with_)
            answer = yield AskAction(contact=self._contact(), name=given.name, arguments=arguments)
            self.take(answer)
        return None

    def take(self, answer: PluginAnswer) -> None:
        """What a plugin wants done."""
        cause = structs.replace(self.cause, plugin=answer.plugin)
        for message in answer.messages:
            self.plan(structs.replace(message, cause=cause))
        if answer.set:
            self.set(answer.set)
        self.outcome.tag_with(answer.tag)
        self.outcome.untag_from(answer.untag)
        self.answers["plugin"] = answer.result
        self.changed()
        if answer.handoff:
            self.hand_off()
        elif answer.pause_seconds is not None:
            self.pause(answer.pause_seconds)


def _list(given: str | list[str] | None) -> list[str]:
    if given is None:
        return []
    return [given] if isinstance(given, str) else given
