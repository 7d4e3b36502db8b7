"""Rules that take long to read: their company waits, and nobody else."""

import asyncio
import threading
from functools import partial

import pytest

from relay.api.rule_checks import RuleChecks
from relay.model.errors import NotReady
from relay.model.ids import TenantId

SLOW, OTHER = TenantId("ten_slow"), TenantId("ten_other")


async def test_one_companys_slow_check_is_its_own() -> None:
    """Its next ones wait for the thread that it has; another company's do not."""
    checks = RuleChecks()
    go_on, seen = threading.Event(), list[int]()
    slow = [asyncio.create_task(checks.run(SLOW, go_on.wait))]
    slow += [asyncio.create_task(checks.run(SLOW, partial(seen.append, n))) for n in range(8)]  # type: ignore[arg-type]
    for number in range(10):
        assert await checks.run(OTHER, lambda number=number: number) == number  # type: ignore[misc]
    assert seen == []
    go_on.set()
    await asyncio.gather(*slow)
    assert seen == [*range(8)]
    checks.close()


async def test_nobody_waits_for_ever() -> None:
    """Whoever asked is told; what had not begun is never done, what had begun keeps the turn until it ends."""
    checks = RuleChecks(wait_seconds=0.01)
    go_on, seen = threading.Event(), list[int]()
    for work in (go_on.wait, partial(seen.append, 1)):
        with pytest.raises(NotReady) as told:
            await checks.run(SLOW, work)
        assert told.value.code == "rules_busy"
    assert list(checks._turns) == [SLOW]
    go_on.set()
    while checks._turns:
        await asyncio.sleep(0)
    assert seen == []
    checks.close()


async def test_what_fails_is_told_to_who_asked() -> None:
    """An error of the work, and the next one's turn comes."""
    checks = RuleChecks()
    with pytest.raises(ZeroDivisionError):
        await checks.run(SLOW, lambda: 1 // 0)
    assert await checks.run(SLOW, lambda: 1) == 1
    checks.close()


async def test_shared_rules_are_used_by_one_thread_at_a_time() -> None:
    """Compiled templates are not made for several; a company's own draft does not wait for them."""
    checks = RuleChecks()
    inside, go_on, seen = threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        inside.set()
        go_on.wait()
        seen.append("first")

    slow = asyncio.create_task(checks.run(SLOW, first, alone=True))
    await asyncio.to_thread(inside.wait)
    second = asyncio.create_task(checks.run(OTHER, lambda: seen.append("second"), alone=True))
    await checks.run(TenantId("ten_third"), lambda: seen.append("draft"))
    go_on.set()
    await asyncio.gather(slow, second)
    assert seen == ["draft", "first", "second"]
    checks.close()
