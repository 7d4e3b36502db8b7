"""The pattern of a search, as Postgres understands it."""

import unicodedata
from random import Random

from relay.store.loose_pattern import loose_pattern
from relay.store.pool import Pool

_ODD = "".join(map(chr, range(1, 128)))


async def test_every_text_finds_itself(pool: Pool) -> None:
    """Whatever its characters: none is an operator, none an error; a character more before or behind it changes nothing."""
    random = Random(7)
    every = [chr(code) for code in range(1, 0x1FFFF) if not unicodedata.category(chr(code)).startswith("C")]
    texts = [
        "".join(random.choices(letters, k=random.randint(1, 100)))
        for letters in (_ODD, every)
        for _ in range(150)
    ]
    rows = [(text, loose_pattern(text)) for text in texts]
    missed = await pool.fetch(
        "SELECT text FROM unnest($1::text[], $2::text[]) AS given (text, pattern) WHERE NOT ('<' || text || '>') ~ pattern",
        [text for text, _ in rows],
        [pattern for _, pattern in rows],
    )
    assert [row["text"] for row in missed] == []


async def test_letters_find_their_like(pool: Pool) -> None:
    """Every Latin, Greek and Cyrillic letter is found by its other case, in one character or as letter and accent."""
    wanted, patterns = [], []
    for letter in map(chr, range(0x41, 0x530)):
        other = letter.swapcase()
        if letter.isalpha() and len(other) == 1 and other.swapcase() == letter:
            for form in (letter, unicodedata.normalize("NFD", letter)):
                wanted.append(form)
                patterns.append(loose_pattern(other))
    missed = await pool.fetch(
        "SELECT text FROM unnest($1::text[], $2::text[]) AS given (text, pattern) WHERE NOT text ~ ('^' || pattern || '$')",
        wanted,
        patterns,
    )
    assert [row["text"] for row in missed] == []
