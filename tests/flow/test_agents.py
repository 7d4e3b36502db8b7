"""Agents from a question to its answer: the real SDK, a model server on a real socket, a real Postgres."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.store.pool import Pool
from tests.agents_desk import AgentsDesk
from tests.model_server import ModelServer, serve_model, text


@pytest.fixture
async def desk(pool: Pool, url: str, tmp_path: Path) -> AgentsDesk:
    return AgentsDesk(pool, url, tmp_path)


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with serve_model() as server:
        yield server


async def test_a_question_is_answered(desk: AgentsDesk, model: ModelServer) -> None:
    """The model is told the prompt and the words; its answer is queued, and why is kept with it."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, prompt="You sell shoes.", secret="sk-1")
    asked = await desk.write(account, "Quanto custa?")
    model.will(text("Dez reais."))
    await desk.answer()
    assert await desk.said(account) == ["Dez reais."]
    [request] = model.received
    assert request.headers["Authorization"] == "Bearer sk-1"
    assert request.body["messages"] == [
        {"role": "system", "content": "You sell shoes."},
        {"role": "user", "content": "Quanto custa?"},
    ]
    [answer] = [message for message in await desk.messages(account) if message.origin == "bot"]
    assert answer.automation == {"ruleSet": "shop", "rule": "rest", "agent": "main", "messageId": asked}
    [call] = await desk.calls(account)
    assert (call.outcome, call.requests, call.prompt_tokens, call.completion_tokens) == (
        "answered",
        1,
        30,
        12,
    )
    assert await desk.turns_left() == 0
