"""Answers frequent questions from a CSV file that anyone can edit in a spreadsheet.

    question,answer,keywords
    Qual é o horário de funcionamento?,"De segunda a sexta, das 9h às 18h.",horário|abre|fecha

A message that is like a question (spelling mistakes allowed), or has one of its keywords, gets the answer. The file is
read again when it has changed: no restart.

    plugins:
      enabled: [faq]
      settings: {faq: {file: /srv/shop/faq.csv, score: 75}}

It answers what no rule has answered. To decide that yourself, switch that off (`answers: false`) and ask it from a rule:

    - id: questions
      when: {always: true}
      do: [{plugin: {name: faq.answer, with: {otherwise: "Não sei responder. Escreva ATENDENTE."}}}]
"""

import csv
from io import StringIO
from pathlib import Path
from typing import Any

from msgspec import Struct

from relay.plugin import Context, Message, Reply, action, fold, hook, likeness, reply

HERE = Path(__file__).parent


class Question(Struct, frozen=True, kw_only=True):
    words: str
    answer: str
    keywords: tuple[str, ...]


# What raises ValueError in `__post_init__` stops the start: better a sentence then than a silent bot later.
class Settings(Struct, frozen=True, kw_only=True):
    file: str = "faq.csv"
    """Beside this plugin, or an absolute path."""
    score: float = 80
    """How alike a message and a question have to be, of 100."""
    answers: bool = True
    """Answer whatever no rule has answered."""

    def __post_init__(self) -> None:
        read_questions(HERE / self.file)


def read_questions(file: Path) -> list[Question]:
    """Raises ValueError with a sentence where the file is not there, or is not as it should be."""
    try:
        # Spreadsheets put a mark before the first letter (utf-8-sig), and a semicolon where a comma is for decimals.
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read ({error}). Save it as CSV UTF-8.") from error
    head = text.partition("\n")[0]
    rows = csv.DictReader(
        StringIO(text, newline=""), delimiter=";" if head.count(";") > head.count(",") else ","
    )
    if not {"question", "answer"} <= set(rows.fieldnames or ()):
        raise ValueError(f"{file}: the first line has to be question,answer or question,answer,keywords.")
    return [
        Question(
            words=fold(row["question"]),
            answer=row["answer"].strip(),
            keywords=tuple(filter(None, map(fold, (row.get("keywords") or "").split("|")))),
        )
        for row in rows
        if (row["answer"] or "").strip()
    ]


# What was read last, with the file's time and size by which a change is seen. One plugin, one process: a module's own
# variable will do for what can be read again. What must not be lost belongs into `context.storage`.
kept: dict[Path, tuple[tuple[int, int], list[Question]]] = {}


def questions_of(file: Path) -> list[Question]:
    found = file.stat()
    state = (found.st_mtime_ns, found.st_size)
    if file not in kept or kept[file][0] != state:
        kept[file] = (state, read_questions(file))
    return kept[file][1]


def find_answer(text: str, settings: Settings) -> str | None:
    """The answer to the most alike question; a keyword counts as much as the whole question."""
    words = fold(text)

    def score(question: Question) -> float:
        if any(f" {keyword} " in f" {words} " for keyword in question.keywords):
            return 100
        return likeness(words, question.words)

    best = max(questions_of(HERE / settings.file), key=score, default=None)
    return best.answer if best is not None and score(best) >= settings.score else None


# Not `async`: it reads a file, so it runs in a thread of its own and nobody waits for the disk.
@hook
def message_received(message: Message, context: Context[Settings]) -> Reply | None:
    # In a group, people ask each other.
    if not context.settings.answers or (message.chat_type == "group" and not message.mentioned):
        return None
    answer = find_answer(message.text, context.settings)
    if answer is None:
        # No numbers and no words of people's in a log: that there was none is enough.
        context.log.info("question.missed")
        return None
    return reply(answer)


# `arguments` are those of the rule: `with: {question: …, otherwise: …}`. The rule goes on either way, and can look at
# {{ plugin.found }} in what it says next.
@action("answer")
def answer_question(arguments: dict[str, Any], message: Message, context: Context[Settings]) -> Reply | None:
    answer = find_answer(str(arguments.get("question", message.text)), context.settings)
    said = answer or str(arguments.get("otherwise", ""))
    return reply(*filter(None, [said]), result={"found": answer is not None})
