"""System prompts: templates as those of rules, which see the contact, the session and the time.

A template of a rule makes one message and is bounded as that. A prompt is longer, so it is rendered paragraph by
paragraph, each with those bounds; an `if` or `for` that goes over several keeps them together.
"""

import re

from relay.model.agent import CallOutcome
from relay.replies import schema
from relay.replies.agents.failure import CallFailed
from relay.replies.agents.question import Question, situation_of
from relay.replies.matching.hours import Calendar
from relay.replies.templates.render import TemplateFailed, Templates, check, values_of

_TEMPLATES = Templates({})
_PARAGRAPHS = re.compile(r"(\n[ \t]*\n)")
_OPENS = re.compile(r"\{%-?\s*(?:if|for)\b")
_CLOSES = re.compile(r"\{%-?\s*end(?:if|for)\b")
_SETS = re.compile(r"\{%-?\s*set\b")


def render_prompt(prompt: str, question: Question, *, timezone: str) -> str:
    """Raises CallFailed where the template does."""
    if not _is_template(prompt):
        return prompt.strip()
    defaults = schema.Defaults(timezone=timezone)
    calendar = Calendar(defaults, schema.Holidays())
    values = values_of(
        situation_of(question), calendar=calendar, match={}, answers={}, language=defaults.language
    )
    try:
        return "".join(_TEMPLATES.render(piece, values) for piece in _pieces(prompt)).strip()
    except TemplateFailed as error:
        raise CallFailed(CallOutcome.FAILED, f"The prompt: {error.detail}") from None


def check_prompt(prompt: str) -> str | None:
    """What is wrong with it as a template, as a sentence."""
    if not _is_template(prompt):
        return None
    return next((wrong for piece in _pieces(prompt) if (wrong := check(piece)) is not None), None)


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text or "{#" in text


def _pieces(prompt: str) -> list[str]:
    """Paragraphs, with what is between them."""
    if _SETS.search(prompt):
        # What one paragraph sets another may use.
        return [prompt]
    pieces, depth = [""], 0
    for part in _PARAGRAPHS.split(prompt):
        pieces[-1] += part
        depth += len(_OPENS.findall(part)) - len(_CLOSES.findall(part))
        if depth == 0:
            pieces.append("")
    return pieces
