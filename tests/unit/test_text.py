"""Texts without regard to capitals, accents and spacing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.replies.matching.text import digest_of, fold, normalize, words_of

FOLDED = {
    "plain": ("status", "status"),
    "capitals": ("STATUS Já", "status ja"),
    "accents": ("Não, Olá! Ação", "nao, ola! acao"),
    "apart": ("na\u0303o", "nao"),
    "spaces": ("  meu \t\n pedido\u00a0 ", "meu pedido"),
    "marks of direction": ("\u200eOi\u2068Ana\u2069", "oiana"),
    "sharp s": ("Straße", "strasse"),
    "wide letters": ("ＯＬÁ", "ola"),  # codespell:ignore
    "emoji stays": ("👍 ok", "👍 ok"),
    "empty": ("", ""),
    "nothing visible": ("\u200b\u200d", ""),
}


@pytest.mark.parametrize(("text", "folded"), FOLDED.values(), ids=FOLDED)
def test_fold(text: str, folded: str) -> None:
    """What is the same to people comes out the same."""
    assert fold(text) == folded


@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    """A folded text is as folded as can be: values can be folded once and compared ever after."""
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("case", "accents", "same"),
    [
        (False, False, {"não", "NAO", "Nao"}),
        (True, False, {"Nao"}),
        (False, True, {"não"}),
        (True, True, set()),
    ],
    ids=["neither", "case", "accents", "both"],
)
def test_what_counts_is_told_apart(case: bool, accents: bool, same: set[str]) -> None:
    """Of four spellings, those remain equal that differ in nothing that counts."""
    wanted = normalize("Não", case=case, accents=accents)
    found = {text for text in ("não", "NAO", "Nao") if normalize(text, case=case, accents=accents) == wanted}
    assert found == same


def test_words_are_what_punctuation_leaves() -> None:
    """Punctuation, emoji and lines between words all count as one space."""
    assert words_of("oi!meu_pedido👍 42\nok?") == " oi meu pedido 42 ok "
    assert words_of("👍!") == ""


def test_digest_is_that_of_the_folded_text() -> None:
    """An echo is told by its digest, however it was spelled; nothing has none."""
    assert digest_of("Olá,  Maria") == digest_of("ola, maria") != digest_of("ola maria")
    assert digest_of(" \u200d") == ""
    assert digest_of("a" * 70_000) == digest_of("a" * 65_000)
