"""What the content of a message says to bots: its words, and what templates may name of it.

    content, as webhooks tell it ─┬─text_of──► `message.text`, which triggers look at
                                  └─shown────► `message.content.latitude`, `.name`, `.options` …

Only fields that are named here are shown: the keys and addresses of files are nobody's business.
"""

from typing import Any

from relay.replies.templates.work import bounded

NAMES = frozenset({
    "text", "choiceId",
    "mediaId", "mimetype", "sizeBytes", "caption", "fileName", "voice", "seconds", "width", "height", "animated",
    "latitude", "longitude", "name", "address", "live",
    "phone", "vcard", "contacts",
    "question", "options", "selectable", "messageId",
    "viewOnce", "forwarded",
})  # fmt: skip
"""As docs/webhooks.md has them."""


def text_of(content: dict[str, Any]) -> str:
    """The words of a message: its text, a file's caption, what was voted for."""
    words = content.get("text") or content.get("caption")
    if words is None and isinstance(content.get("options"), list):
        words = "\n".join(map(str, content["options"]))
    return str(words or "")


def shown(content: dict[str, Any]) -> dict[str, Any]:
    """The fields of `NAMES`, in each card of several contacts as well; cut as all that templates see."""
    return {name: _named(bounded(value)) for name, value in content.items() if name in NAMES}


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _named(part) for name, part in value.items() if name in NAMES}
    return [_named(one) for one in value] if isinstance(value, list) else value
