"""What a bot does with one message: pure; the same situation and the same rules come to the same.

a person wrote ─► the bot keeps quiet in this chat
guards ─► a running flow ─► rules by priority ─► plugins ─► the session's agent
             ▲                                            (the first that answers ends it)
             └─ but for rules that interrupt it
"""

from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from typing import Any

from msgspec import structs

from relay.replies.actions import Ends, Run
from relay.replies.book import Book, Compiled, Entry
from relay.replies.flows import Conversation
from relay.replies.guards import find_guard
from relay.replies.matching import conditions
from relay.replies.matching.seen import Seen
from relay.replies.outcome import (
    AgentTurn,
    AskPlugins,
    BeforeReply,
    Cause,
    Decision,
    Emitted,
    Need,
    Note,
    Outcome,
    PluginAnswer,
)
from relay.replies.said import said
from relay.replies.situation import Situation

_AGENT_DEBOUNCE_SECONDS = 4.0
_FIRED = said("The rule has fired.")
_MOST_FIRED = 20
"""For one message, however many `continue`: what it costs is bounded."""


def decide(situation: Situation, book: Book, *, explain: bool = False) -> Decision:
    """Drive it: send in what each `Need` asks for. `explain`: with a note for every rule, fired or not."""
    return _Decider(situation, book, explain=explain).run()


class _Decider:
    def __init__(self, situation: Situation, book: Book, *, explain: bool) -> None:
        self._situation = situation
        self._book = book
        self._explain = explain
        self._outcome = Outcome()

    def run(self) -> Decision:
        outcome, situation = self._outcome, self._situation
        if situation.message.by_owner:
            self._give_way()
            return outcome
        guard = find_guard(situation)
        if guard is not None:
            outcome.verdict = "guarded"
            outcome.notes.append(guard)
            if guard.code == "guard.paused":
                yield from self._ask_rules(lambda entry: entry.resumes)
            return outcome
        if (yield from self._answered()) and outcome.messages and self._book.abilities.edits:
            outcome.messages = yield BeforeReply(messages=outcome.messages)
        return outcome

    def _answered(self) -> Generator[Need, Any, bool]:
        interrupted = self._situation.contact.flow is not None and self._book.interrupts
        if interrupted and (yield from self._ask_rules(lambda entry: entry.rule.interrupts)):
            return True
        if (yield from self._go_on_with_flow()):
            return True
        if (yield from self._ask_rules(lambda entry: not (interrupted and entry.rule.interrupts))):
            return True
        if self._book.abilities.answers and (yield from self._ask_plugins()):
            return True
        return self._ask_agent()

    def _give_way(self) -> None:
        """A person has answered: nothing of the bot's follows."""
        outcome, settings = self._outcome, self._situation.settings
        outcome.verdict, outcome.takeover, outcome.stop_agent = "guarded", True, True
        detail = said("A person has answered in this chat.")
        outcome.notes.append(Note(code="guard.takeover", detail=detail))
        until = self._situation.message.sent_at + timedelta(seconds=settings.pause_seconds)
        paused = self._situation.chat.paused_until
        if until <= self._situation.now or (paused is not None and paused >= until):
            return
        outcome.pause_until, outcome.end_flow = until, True
        if paused is None or paused <= self._situation.now:
            outcome.events.append(
                Emitted(type="automation.paused", data={"reason": "person", "until": until})
            )

    # --- flows --------------------------------------------------------------------------------------------------

    def _go_on_with_flow(self) -> Generator[Need, Any, bool]:
        state = self._situation.contact.flow
        if state is None:
            return False
        compiled = self._book.sets.get(state.set)
        if compiled is None or state.flow not in compiled.source.flows:
            self._outcome.end_flow = True
            return False
        cause = self._cause(compiled)
        run = Run(self._situation, compiled, cause, self._outcome)
        if not (yield from Conversation(run, state.flow).answer(state)):
            return False
        self._outcome.verdict = "flow"
        self._outcome.cause = structs.replace(cause, flow=state.flow, step=state.step)
        self._outcome.fired.append(self._outcome.cause)
        return True

    def _cause(self, compiled: Compiled) -> Cause:
        return Cause(rule_set=compiled.name, version=compiled.version, message_id=self._situation.message.id)

    # --- rules --------------------------------------------------------------------------------------------------

    def _ask_rules(self, asked: Callable[[Entry], bool]) -> Generator[Need, Any, bool]:
        """Of those that are `asked`; True once one has fired and does not let others look."""
        fired = False
        seen = self._book.matcher.look_at(self._situation.message, self._situation.contact)
        for entry, match in self._candidates(asked, seen):
            if not (yield from self._allowed(entry)):
                continue
            if entry.shadow:
                yield from self._shadow(entry, match)
                continue
            self._outcome.match |= match
            run = self._run_of(entry)
            ends = yield from self._fire(entry, run)
            fired = True
            if not run.continues or (ends is not None and (ends.stops or ends.go is not None)):
                break
            if len(self._outcome.fired) >= _MOST_FIRED:
                run.note("too_many", said("{count} rules have fired: no more are asked.", count=_MOST_FIRED))
                break
            self._see_changes(seen)
        if fired and self._outcome.verdict != "flow":
            self._outcome.verdict = "rules"
        return fired

    def _see_changes(self, seen: Seen) -> None:
        """What a rule has set is there for those below it."""
        contact = self._outcome.contact_after(self._situation.contact)
        self._situation, seen.contact = structs.replace(self._situation, contact=contact), contact

    def _candidates(
        self, asked: Callable[[Entry], bool], seen: Seen
    ) -> Iterator[tuple[Entry, dict[str, str]]]:
        """Looked at one by one: what a rule has changed, the next ones see."""
        if self._explain:
            yield from self._explained(asked, seen)
            return
        for index, match in self._book.matcher.find(seen):
            entry = self._book.entries[index]
            if asked(entry) and entry.set.serves(seen.message):
                yield entry, match

    def _explained(
        self, asked: Callable[[Entry], bool], seen: Seen
    ) -> Iterator[tuple[Entry, dict[str, str]]]:
        """The same, with a note on each that is passed over."""
        found = self._book.matcher.find(seen)
        held, match = -1, dict[str, str]()
        for index, entry in enumerate(self._book.entries):
            if held < index:
                # Not before those above it are done.
                held, match = next(found, (len(self._book.entries), {}))
            if not asked(entry):
                continue
            if not entry.set.serves(seen.message):
                self._note(entry, "set.session", said("The rule set does not serve this session."))
            elif index == held:
                yield entry, match
            else:
                _holds, code, detail = self._book.matcher.why(index, seen)
                self._note(entry, code, detail)

    def _allowed(self, entry: Entry) -> Generator[Need, Any, bool]:
        if not entry.rule.if_ and not entry.cooldown_seconds:
            return True
        failed = yield from conditions.check(
            entry.rule.if_,
            self._situation,
            key=entry.key,
            calendar=entry.set.calendar,
            default_cooldown=entry.cooldown_seconds,
        )
        if failed is not None and self._explain:
            code, sentence = failed
            self._note(entry, code, sentence())
        return failed is None

    def _note(self, entry: Entry, code: str, detail: str, *, fired: bool = False) -> None:
        if self._explain or fired:
            note = Note(rule_set=entry.set.name, rule=entry.rule.id, code=code, detail=detail, fired=fired)
            self._outcome.notes.append(note)

    def _run_of(self, entry: Entry, outcome: Outcome | None = None) -> Run:
        cause = structs.replace(self._cause(entry.set), rule=entry.rule.id)
        return Run(self._situation, entry.set, cause, outcome or self._outcome)

    def _fire(self, entry: Entry, run: Run) -> Generator[Need, Any, Ends | None]:
        self._note(entry, "fired", _FIRED, fired=True)
        if not self._outcome.fired:
            self._outcome.cause = run.cause
        self._outcome.fired.append(run.cause)
        if entry.remembered_seconds:
            kept = self._situation.now + timedelta(seconds=entry.remembered_seconds)
            self._outcome.cooldowns[entry.key] = kept
        ends = yield from run.do(entry.rule.do)
        if ends is not None and ends.go is not None:
            yield from self._enter_flow(run, ends.go.target)
        return ends

    def _enter_flow(self, run: Run, name: str) -> Generator[Need, Any, None]:
        if name not in run.compiled.source.flows:
            run.note("flow.unknown", said("There is no flow {name}.", name=name))
            return
        self._outcome.end_flow = False
        yield from Conversation(run, name).start()

    def _shadow(self, entry: Entry, match: dict[str, str]) -> Generator[Need, Any, None]:
        """As if it fired, and nothing of it but what it would have said."""
        scratch = Outcome(match=match)
        run = self._run_of(entry, scratch)
        run.dry = True
        ends = yield from run.do(entry.rule.do)
        if ends is not None and ends.go is not None and ends.go.target in entry.set.source.flows:
            yield from Conversation(run, ends.go.target).start()
        self._note(entry, "shadow", said("The rule would have fired; it is in shadow mode."), fired=True)
        self._outcome.shadow += scratch.messages
        cause = scratch.agent.cause if scratch.agent is not None else run.cause
        self._outcome.shadow_causes.append(cause)

    # --- plugins, the agent -------------------------------------------------------------------------------------

    def _ask_plugins(self) -> Generator[Need, Any, bool]:
        answer: PluginAnswer = yield AskPlugins(contact=self._situation.contact)
        if not (answer.handled or answer.messages or answer.handoff):
            self._apply(answer)
            return False
        self._outcome.verdict = "plugin"
        self._apply(answer)
        self._outcome.cause = Cause(plugin=answer.plugin, message_id=self._situation.message.id)
        return True

    def _apply(self, answer: PluginAnswer) -> None:
        cause = Cause(message_id=self._situation.message.id)
        Run(self._situation, _NO_RULES, cause, self._outcome).take(answer)

    def _ask_agent(self) -> bool:
        name, message = self._situation.settings.agent, self._situation.message
        if name is None or (message.chat_type == "group" and not message.mentioned):
            return False
        cause = Cause(agent=name, message_id=message.id)
        self._outcome.agent = AgentTurn(agent=name, debounce_seconds=_AGENT_DEBOUNCE_SECONDS, cause=cause)
        self._outcome.verdict, self._outcome.cause = "agent", cause
        return True


_NO_RULES = Compiled.none()
"""Whose defaults are taken where no rule set is behind it."""
