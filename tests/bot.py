"""A responder as tests run it: real rows, real decisions; `answers` does what its loop would do next."""

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from relay.model.ids import MessageId
from relay.replies.library import Library
from relay.replies.outcome import HttpAnswer, HttpCall, Need, Outcome, Planned, PluginAnswer
from relay.replies.reading.rule_files import RuleFiles
from relay.replies.responder import LEASE_SECONDS, Responder
from relay.replies.situation import Situation
from relay.replies.slow_lane import SlowLane
from relay.store import rule_sets
from relay.store.doorbell import Doorbell
from relay.store.pool import Pool
from tests.accounts import AT, received
from tests.desk import Account, Desk


class Needs:
    """The world outside: what HTTP calls answer, held back where a test wants it."""

    def __init__(self) -> None:
        self.asked: list[Need] = []
        self.http: Any = HttpAnswer(status=200, json={})

    async def answer(self, need: Need, situation: Situation) -> Any:
        self.asked.append(need)
        if isinstance(need, HttpCall):
            return await self.http(need) if callable(self.http) else self.http
        return PluginAnswer()

    async def replied(self, situation: Situation, messages: Sequence[Planned]) -> None:
        pass


class NoFiles:
    def has(self, messages: Sequence[Planned]) -> bool:
        return False

    async def keep(self, situation: Situation, outcome: Outcome) -> None:
        raise AssertionError("nothing has a file")


class Bot:
    """A session's bot at a desk."""

    def __init__(self, pool: Pool, url: str, folder: Path, account: Account) -> None:
        self.pool = pool
        self.account = account
        self.desk = Desk(pool, url, folder / "desk")
        self.rules_folder = folder / "rules"
        self.rules_folder.mkdir()
        self.doorbell = Doorbell(url, name="bot")
        self.needs = Needs()
        self.now = AT + timedelta(seconds=1)
        self.files = RuleFiles(self.rules_folder)
        self.library = Library(self.files)
        self._responders: list[Responder] = []
        self.responder = self.another()
        self._said = 0

    async def close(self) -> None:
        for one in self._responders:
            await one.close()

    def another(self) -> Responder:
        """One more process beside the first."""
        self.slow = SlowLane(
            self.pool,
            self.doorbell,
            self.needs,
            NoFiles(),
            lease_seconds=LEASE_SECONDS,
            now=lambda: self.now,
        )
        made = Responder(self.pool, self.doorbell, self.library, self.slow, now=lambda: self.now)
        self._responders.append(made)
        return made

    async def obeys(self, rules: str, *, name: str = "shop") -> None:
        """Put rules in force."""
        async with self.pool.acquire() as conn:
            source = textwrap.dedent(rules)
            await rule_sets.put_rule_set(conn, self.account[0], name, source, "")

    async def hears(self, *texts: str, **given: Any) -> None:
        """Messages arrive; nobody has looked at them yet."""
        for text in texts:
            self._said += 1
            fields = {"sent_at": self.now} | given
            await self.desk.take(self.account, received(f"W{self._said}", text, **fields))

    async def answers(self, *texts: str, **given: Any) -> list[str]:
        """What is said to `texts`, all of it settled."""
        before = len(await self.said())
        for text in texts:
            await self.hears(text, **given)
            await self.work()
        return (await self.said())[before:]

    async def work(self) -> None:
        await self.responder.work()
        await self.slow.finish()

    async def said(self) -> list[str]:
        """Every text of the bot's, in order, without those that were taken back."""
        return [row["content"].get("text", row["type"]) for row in await self.rows() if row["error"] is None]

    async def rows(self) -> list[Any]:
        rows: list[Any] = await self.pool.fetch(
            "SELECT * FROM whatsapp_messages WHERE origin = 'bot' AND session_id = $1 ORDER BY id",
            self.account[1],
        )
        return rows

    async def tasks(self) -> list[MessageId]:
        return [
            row["message_id"]
            for row in await self.pool.fetch("SELECT message_id FROM reply_tasks ORDER BY message_id")
        ]

    async def expire_claims(self) -> None:
        """As when the lease of whoever died has run out."""
        await self.pool.execute("UPDATE reply_tasks SET due_at = now() - interval '1 second'")

    async def contact(self) -> Any:
        return await self.pool.fetchrow("SELECT * FROM bot_contacts WHERE session_id = $1", self.account[1])

    async def chat(self) -> Any:
        return await self.pool.fetchrow("SELECT * FROM bot_chats WHERE session_id = $1", self.account[1])

    def passes(self, **time: float) -> None:
        self.now += timedelta(**time)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
