"""What a caller gives as an agent's settings: checked to the field, as it is to be stored."""

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import structs

from relay.api.errors import from_msgspec
from relay.egress.guard import AddressGuard
from relay.model.agent import HttpSettings, Kind, OpenAiSettings, settings_of
from relay.model.errors import InvalidInput
from relay.replies.agents.prompts import check_prompt

_PROMPT_PATH = "settings.prompt"


def check_settings(guard: AddressGuard, kind: Kind, given: dict[str, Any]) -> dict[str, Any]:
    """As they are to be stored. Raises InvalidInput with the path of the field."""
    try:
        settings = settings_of(kind, given)
    except msgspec.ValidationError as error:
        raise _below_settings(error) from None
    stored = dict(given)
    if isinstance(settings, HttpSettings):
        stored["url"] = _check_url(guard, settings.url, "settings.url")
    else:
        if "baseUrl" in given:
            stored["baseUrl"] = _check_url(guard, settings.base_url, "settings.baseUrl").rstrip("/")
        _check_prompt(settings)
        _check_timezone(settings.timezone)
    return stored


def merged(before: OpenAiSettings | HttpSettings, given: dict[str, Any]) -> dict[str, Any]:
    """`before` with what is given; null is the default again."""
    kept = {name: value for name, value in _stated(before).items() if name not in given}
    return kept | {name: value for name, value in given.items() if value is not None}


def _stated(settings: OpenAiSettings | HttpSettings) -> dict[str, Any]:
    """Without what is the default: that is free to change with Relay."""
    stated: dict[str, Any] = msgspec.to_builtins(settings)
    defaults = {
        one.encode_name: one.default if one.default_factory is msgspec.NODEFAULT else one.default_factory()
        for one in structs.fields(settings)
    }
    return {name: value for name, value in stated.items() if value != defaults[name]}


def _check_url(guard: AddressGuard, url: str, path: str) -> str:
    try:
        return guard.check_url(url).url
    except ValueError as error:
        raise InvalidInput(str(error), path=path, code="url_refused") from None


def _check_prompt(settings: OpenAiSettings) -> None:
    wrong = check_prompt(settings.prompt)
    if wrong is not None:
        raise InvalidInput(wrong, path=_PROMPT_PATH, code="template_invalid")


def _check_timezone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidInput("Write a time zone as Europe/Lisbon.", path="settings.timezone") from None


def _below_settings(error: msgspec.ValidationError) -> InvalidInput:
    problem = from_msgspec(error)
    return InvalidInput(problem.detail, path=f"settings.{problem.path}" if problem.path else "settings")
