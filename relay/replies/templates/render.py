"""Templates: `Olá {{ contact.name }}!`. Written by tenants, so bounded in what they may say, do, and make.

    source ─► grammar (what may be said) ─► minijinja (compiled once) ─► text of at most 4,096 characters
                                              fuel, and an allowance for filters and output

What does not exist is written as nothing: a customer never sees an error. What fails raises `TemplateFailed`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import minijinja
import msgspec

from relay.model.errors import RelayError
from relay.replies.said import Said, said
from relay.replies.templates.filters import FILTERS, Filters
from relay.replies.templates.grammar import Refused, check_grammar
from relay.replies.templates.values import values_of
from relay.replies.templates.work import TooMuch

__all__ = ["TemplateFailed", "Templates", "check", "values_of"]

MAX_OUTPUT_CHARACTERS = 4096
_FUEL = 5000
"""Steps of minijinja's machine."""
_KEPT = 2000
"""Compiled templates of one rule set."""
_MAX_VALUE_BYTES = 65_536
_GLOBALS = ("cycler", "debug", "dict", "joiner", "namespace")


class TemplateFailed(RelayError):
    code = "template_failed"


def check(source: str) -> str | None:
    """What is wrong with a template, as a sentence; None where it can be rendered."""
    try:
        _Engine().compile(source)
    except TemplateFailed as failed:
        return failed.detail
    return None


class Templates:
    """Those of one rule set: `named` ones, and any text that stands in it. Not to be shared between threads."""

    def __init__(self, named: Mapping[str, str]) -> None:
        self._named = dict(named)
        self._engine: _Engine | None = None

    def render(self, source: str, values: Mapping[str, Any]) -> str:
        if not _is_template(source):
            return source
        return self._made().render(source, values)

    def render_named(self, name: str, values: Mapping[str, Any]) -> str:
        source = self._named.get(name)
        if source is None:
            raise TemplateFailed(said('There is no template "{name}" in this rule set.', name=name))
        return self.render(source, values)

    def render_all(self, value: Any, values: Mapping[str, Any]) -> Any:
        """The texts within lists and mappings rendered; one that is a single `{{ … }}` stays a number or a list."""
        if isinstance(value, str):
            return self._render_value(value, values)
        if isinstance(value, list | tuple):
            return [self.render_all(one, values) for one in value]
        if isinstance(value, Mapping):
            return {key: self.render_all(one, values) for key, one in value.items()}
        return value

    def _render_value(self, source: str, values: Mapping[str, Any]) -> Any:
        if not _is_template(source):
            return source
        expression = _only_expression(source)
        if expression is None:
            return self._made().render(source, values)
        return self._made().evaluate(source, expression, values)

    def _made(self) -> "_Engine":
        if self._engine is None:
            self._engine = _Engine()
        return self._engine


class _Engine:
    """minijinja with our filters only."""

    def __init__(self) -> None:
        self._filters = Filters()
        self._names: dict[str, str] = {}
        self._env = minijinja.Environment(
            filters={name: getattr(self._filters, method) for name, method in FILTERS.items()},
            fuel=_FUEL,
            undefined_behavior="chainable",
            auto_escape_callback=lambda _name: False,
            finalizer=self._filters.output,
            debug=False,
            # Methods of texts and lists: filters do that here.
            pycompat=False,
        )
        for name in _GLOBALS:
            self._env.remove_global(name)
        self._env.add_global("range", self._filters.make_range)

    def compile(self, source: str) -> str:
        """The name under which minijinja keeps it."""
        known = self._names.get(source)
        if known is not None:
            return known
        if len(self._names) >= _KEPT:
            self._env.clear_templates()
            self._names.clear()
        name = str(len(self._names))
        try:
            check_grammar(source)
            self._env.add_template(name, source)
        except (Refused, minijinja.TemplateError, RecursionError) as error:
            raise _failed(error) from None
        self._names[source] = name
        return name

    def render(self, source: str, values: Mapping[str, Any]) -> str:
        name = self.compile(source)
        self._begin(values)
        text: str = _guarded(lambda: self._env.render_template(name, **values))
        if len(text) > MAX_OUTPUT_CHARACTERS:
            raise _too_long()
        return text

    def evaluate(self, source: str, expression: str, values: Mapping[str, Any]) -> Any:
        self.compile(source)
        self._begin(values)
        # The one name that eval_expr keeps for itself.
        named = {name: value for name, value in values.items() if name != "self"}
        return _plain(_guarded(lambda: self._env.eval_expr(expression, **named)))

    def _begin(self, values: Mapping[str, Any]) -> None:
        now = values.get("now")
        self._filters.begin(
            language=str(values.get("language", "pt-BR")),
            zone=now.tzinfo if isinstance(now, datetime) else None,
            max_output=MAX_OUTPUT_CHARACTERS,
        )


def _guarded(render: Callable[[], Any]) -> Any:
    """A filter that is given what it cannot take raises what Python raises."""
    try:
        return render()
    except (
        minijinja.TemplateError, TooMuch, RecursionError, TypeError, ValueError, ArithmeticError, LookupError
    ) as error:  # fmt: skip
        raise _failed(error) from None
    except BaseException as error:
        # What minijinja's Python part calls a panic is none of Exception; only this tells it from ^C.
        if type(error).__name__ != "PanicException":
            raise
        raise TemplateFailed(said("The template failed within minijinja.")) from None


def _failed(error: BaseException) -> TemplateFailed:
    line = 0
    detail: str = said("it cannot be rendered")
    match error:
        case minijinja.TemplateError(kind="OutOfFuel"):
            line, detail = error.line or 0, said("it takes too many steps")
        case minijinja.TemplateError():
            line, detail = error.line or 0, error.detail or error.message
        case Refused():
            line, detail = error.line, error.detail
        case TooMuch():
            detail = error.detail
        case RecursionError():
            detail = said("its values are nested too deeply")
        case TypeError() | ValueError():
            detail = said("a filter was given what it cannot take")
        case _:
            pass
    reason = detail if isinstance(detail, Said) else detail.rstrip(".")
    if line:
        return TemplateFailed(said("The template fails in line {line}: {reason}.", line=line, reason=reason))
    return TemplateFailed(said("The template fails: {reason}.", reason=reason))


def _too_long() -> TemplateFailed:
    return TemplateFailed(
        said("The template makes a text of more than {most:,} characters.", most=MAX_OUTPUT_CHARACTERS)
    )


def _is_template(source: str) -> bool:
    return "{{" in source or "{%" in source or "{#" in source


def _only_expression(source: str) -> str | None:
    """What stands in `{{ … }}`, where that is all."""
    trimmed = source.strip()
    is_alone = trimmed.startswith("{{") and trimmed.endswith("}}") and trimmed.count("{{") == 1
    if not is_alone or "{%" in trimmed or "{#" in trimmed:
        return None
    return trimmed[2:-2].removeprefix("-").removesuffix("-")


def _plain(value: Any) -> Any:
    """As JSON has it; nothing is an empty text, as it is elsewhere in templates."""
    if isinstance(value, str):
        if len(value) > MAX_OUTPUT_CHARACTERS:
            raise _too_long()
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool | int | float):
        return value
    if not isinstance(value, list | tuple | dict):
        return ""
    try:
        made = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError):
        raise TemplateFailed(said("The template makes a value that is not JSON.")) from None
    if len(made) > _MAX_VALUE_BYTES:
        raise TemplateFailed(
            said("The template makes a value of more than {most:,} bytes.", most=_MAX_VALUE_BYTES)
        )
    return msgspec.json.decode(made)
