"""From a reply as the YAML says it to messages as they are sent.

Choices become numbered text: buttons do not render on every phone, and an answer by number or word is understood.
"""

from typing import TYPE_CHECKING

from relay.replies import schema
from relay.replies.outcome import Planned

if TYPE_CHECKING:
    from relay.replies.actions import Run

_CAPTIONED = frozenset({"image", "video", "document"})


def plan_reply(run: "Run", reply: str | schema.Reply) -> list[Planned]:
    """The messages of one reply; none where its text comes out empty."""
    if isinstance(reply, str):
        reply = schema.Reply(text=reply)
    text = _text(run, reply)
    if reply.choices is not None:
        text = _with_choices(run, text, reply.choices)
    planned: list[Planned] = []
    if reply.media is not None:
        caption = reply.media.caption and run.render(reply.media.caption)
        if text and not caption and reply.media.type in _CAPTIONED:
            caption, text = text, ""
        planned.append(_media(run, reply, reply.media, caption))
    if reply.poll is not None:
        poll = reply.poll
        content = {
            "question": run.render(poll.question),
            "options": [run.render(option) for option in poll.options],
            "selectable": poll.selectable,
        }
        planned.append(Planned(type="poll", content=content, quote=reply.quote, cause=run.cause))
    if text.strip():
        words = Planned(type="text", content={"text": text.strip()}, quote=reply.quote, cause=run.cause)
        # What is said of a poll or a file is said before it.
        planned.insert(0, words)
    return planned


def _text(run: "Run", reply: schema.Reply) -> str:
    if reply.template is not None:
        return run.compiled.templates.render_named(reply.template, run.values())
    return run.render(reply.text) if reply.text is not None else ""


def _with_choices(run: "Run", text: str, choices: schema.ChoicesReply) -> str:
    numbered = [f"{number}. {run.render(option)}" for number, option in enumerate(choices.options, 1)]
    footer = [run.render(choices.footer)] if choices.footer is not None else []
    parts = [text.strip(), "\n".join(numbered), *footer]
    return "\n\n".join(part for part in parts if part)


def _media(run: "Run", reply: schema.Reply, media: schema.MediaReply, caption: str | None) -> Planned:
    given = {
        "url": media.url and run.render(media.url),
        "mediaId": media.media_id and run.render(media.media_id),
        "caption": caption or None,
        "fileName": media.file_name and run.render(media.file_name),
        "voice": media.voice or None,
    }
    content = {name: value for name, value in given.items() if value is not None}
    return Planned(type=media.type, content=content, quote=reply.quote, cause=run.cause)
