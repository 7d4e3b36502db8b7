"""Numbers, dates and greetings as people of a language write them: Portuguese and Spanish, and English for all others."""

import re
from datetime import datetime

_DAYS = {
    "pt": (
        "segunda-feira",
        "terça-feira",
        "quarta-feira",
        "quinta-feira",
        "sexta-feira",
        "sábado",
        "domingo",
    ),
    "es": ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
_MONTHS = {
    "pt": [
        "janeiro",
        "fevereiro",
        "março",
        "abril",
        "maio",
        "junho",
        "julho",
        "agosto",
        "setembro",
        "outubro",
        "novembro",
        "dezembro",
    ],
    "es": [
        "enero",
        "febrero",
        "marzo",
        "abril",
        "mayo",
        "junio",
        "julio",
        "agosto",
        "septiembre",
        "octubre",
        "noviembre",
        "diciembre",
    ],
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
}
_GREETINGS = {
    "pt": ("bom dia", "boa tarde", "boa noite"),
    "es": ("buenos días", "buenas tardes", "buenas noches"),
    "en": ("good morning", "good afternoon", "good evening"),
}
_CURRENCIES = {"pt": "R$", "es": "$", "en": "$"}
_NAMES = re.compile(r"%[AaBb]")
_MAX_FORMAT = 100


def language_of(language: str) -> str:
    """`pt` of `pt-BR`; `en` of what is not known."""
    short = language[:2].lower()
    return short if short in _DAYS else "en"


def greeting_of(now: datetime, language: str) -> str:
    """By the hour: from 5, from 12, from 18."""
    morning, afternoon, evening = _GREETINGS[language_of(language)]
    if 5 <= now.hour < 12:
        return morning
    return afternoon if 12 <= now.hour < 18 else evening


def formatted(moment: datetime, format: str, language: str) -> str:
    """As strftime, with the names of days and months in the language."""
    short = language_of(language)
    names = {"%A": _DAYS[short][moment.weekday()], "%B": _MONTHS[short][moment.month - 1]}
    names |= {"%a": names["%A"][:3], "%b": names["%B"][:3]}
    try:
        return moment.strftime(_NAMES.sub(lambda found: names[found.group()], format[:_MAX_FORMAT]))
    except ValueError:
        return ""


def number_words(number: float, digits: int | None, language: str) -> str:
    """`1.234,5`, in English `1,234.5`; with as many digits after the comma as asked for, or as there are."""
    if digits is None:
        shown = f"{number:,.6f}".rstrip("0").rstrip(".")
    else:
        shown = f"{number:,.{min(max(digits, 0), 12)}f}"
    if language_of(language) == "en":
        return shown
    return shown.translate({ord(","): ".", ord("."): ","})


def money_of(number: float, currency: str, language: str) -> str:
    """`R$ 1.234,56`, in English `$1,234.56`."""
    short = language_of(language)
    sign = "-" if round(number, 2) < 0 else ""
    space = "" if short == "en" else " "
    return f"{sign}{currency or _CURRENCIES[short]}{space}{number_words(abs(number), 2, language)}"
