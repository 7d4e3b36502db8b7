"""Reading a request's body with a cap and a deadline; uvicorn has neither.

A caller that is still writing often never reads an answer that comes early. So what is over the cap is read on
and thrown away, within the same deadline and up to a bound, before the 413 goes out.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from relay.api.errors import BodyIncomplete, BodyTooLarge, BodyTooSlow

_LEAST_BYTES_PER_SECOND = 65_536
_DISCARD_BYTES = 64 * 1024 * 1024

Receive = Callable[[], Awaitable[Any]]


async def read_chunks(
    receive: Receive, *, most_bytes: int, timeout_seconds: float, extend: bool = False
) -> AsyncGenerator[bytes, None]:
    """Yield the body. Raises BodyTooLarge, BodyTooSlow, BodyIncomplete.

    The deadline holds for the whole body; `extend` (for files) lets it move on with what arrives, so that an upload
    may take as long as it keeps up 64 KiB a second.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    received, more = 0, True
    while more:
        moved = received / _LEAST_BYTES_PER_SECOND if extend else 0.0
        chunk, more = await _next_chunk(receive, deadline + moved)
        received += len(chunk)
        if received > most_bytes:
            if more:
                await _discard(receive, deadline)
            raise BodyTooLarge(f"The body is larger than {most_bytes} bytes.")
        if chunk:
            yield chunk


async def _next_chunk(receive: Receive, deadline: float) -> tuple[bytes, bool]:
    try:
        async with asyncio.timeout_at(deadline):
            message = await receive()
    except TimeoutError:
        raise BodyTooSlow("The body did not arrive in time.") from None
    if message["type"] == "http.disconnect":
        raise BodyIncomplete("The connection was closed before the body was complete.")
    return message.get("body", b""), message.get("more_body", False)


async def _discard(receive: Receive, deadline: float) -> None:
    discarded, more = 0, True
    try:
        while more and discarded < _DISCARD_BYTES:
            chunk, more = await _next_chunk(receive, deadline)
            discarded += len(chunk)
    except (BodyTooSlow, BodyIncomplete):
        return
