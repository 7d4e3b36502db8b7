"""A request as handlers see it: who calls, what the server has, and a body that ends."""

from collections.abc import AsyncGenerator
from typing import Any, cast

import litestar
from litestar.datastructures import State

from relay.api.body import read_chunks
from relay.api.services import Services
from relay.model.tenant import Principal

FILE: dict[str, Any] = {"file": True}
"""A route's `opt`: the body is a file, up to `media.max_bytes`; read it by `request.stream()`."""


class Request(litestar.Request[Principal, Any, State]):
    __slots__ = ()

    @property
    def services(self) -> Services:
        return cast(Services, self.app.state["services"])

    @property
    def principal(self) -> Principal:
        """Who calls; set before the handler of every route that is not public."""
        return cast(Principal, self.scope["user"])

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body, capped and with a deadline; `body()` and `json()` read through here."""
        config = self.services.config
        is_file = "file" in self.route_handler.opt
        async for chunk in read_chunks(
            self.receive,
            most_bytes=config.media.max_bytes if is_file else config.server.max_body_bytes,
            timeout_seconds=config.server.body_timeout_seconds,
            extend=is_file,
        ):
            yield chunk
