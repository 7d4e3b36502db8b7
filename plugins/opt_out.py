"""Lets people leave: who writes STOP, SAIR or PARAR is told so once, and hears nothing more from any bot.

    STOP ──► tagged `opted-out`, one last answer ──► silence ──► START ──► the tag is gone, a welcome

The tag is the truth. Rules see it (`not: [{tags: opted-out}]`), your CRM reads it over the API before it sends a
campaign, and a person who takes it away lets the contact back in.

    plugins:
      enabled: [opt_out]
      settings: {opt_out: {tag: no-ads}}

Rules are asked before plugins. Where one of yours answers everything, put this one above it:

    - id: opt-out
      priority: 1000
      when: {keyword: [stop, sair, parar]}
      do: [{plugin: opt_out.keep}]
"""

from typing import Literal

from msgspec import Struct

from relay.plugin import Contact, Context, Message, Outgoing, Reply, action, fold, hook, reply


# The settings, with their defaults. config.yaml may give others under plugins.settings.opt_out; a wrong type or a
# name that is not here stops the start, with a sentence.
class Settings(Struct, frozen=True, kw_only=True):
    stop: tuple[str, ...] = (
        "stop",
        "sair",
        "parar",
        "cancelar",
        "descadastrar",
        "unsubscribe",
        "salir",
        "baja",
    )
    """The whole message has to be one of these: «não quero parar» is no wish to leave."""
    start: tuple[str, ...] = ("start", "voltar", "iniciar", "volver")
    tag: str = "opted-out"
    language: Literal["pt", "es", "en"] = "pt"
    """Of the answers to people whose phone number does not tell."""


GOODBYE = {
    "pt": "Pronto, você não receberá mais mensagens automáticas. Para voltar, escreva VOLTAR.",
    "es": "Listo, no recibirá más mensajes automáticos. Para volver, escriba VOLVER.",
    "en": "Done, you will get no more automatic messages. To come back, write START.",
}
WELCOME = {
    "pt": "Que bom ter você de volta! Para sair, escreva SAIR.",
    "es": "¡Qué bueno tenerle de vuelta! Para salir, escriba SALIR.",
    "en": "Good to have you back! To leave, write STOP.",
}
# The first digits of phone numbers: Portuguese where it is spoken, then English, then Spanish-speaking America.
LANGUAGES = {
    "55": "pt",
    "351": "pt",
    "244": "pt",
    "258": "pt",
    "1": "en",
    "44": "en",
    "353": "en",
    "61": "en",
}
LANGUAGES |= dict.fromkeys(["34", "51", "52", "53", "54", "56", "57", "58", "591", "593", "595", "598"], "es")


# Asked for each message that no rule has answered. To name an argument is to get it; the others are left out.
@hook
async def message_received(message: Message, contact: Contact, context: Context[Settings]) -> Reply | None:
    return await decide(message, contact, context)


# The same as an action, for a rule that stands above all others: `plugin: opt_out.keep`.
@action("keep")
async def keep(message: Message, contact: Contact, context: Context[Settings]) -> Reply | None:
    return await decide(message, contact, context)


async def decide(message: Message, contact: Contact, context: Context[Settings]) -> Reply | None:
    settings = context.settings
    # In a group, "stop" is said to other people.
    if message.chat_type != "private":
        return None
    words = fold(message.text)
    has_left = settings.tag in contact.tags
    if words in map(fold, settings.stop):
        if has_left:
            return reply()  # told once already
        # When it was, for whoever must be able to show it. With `contact_id`, it goes when the contact is deleted.
        await context.storage.set(contact.id, {"left_at": context.now}, contact_id=contact.id)
        return reply(GOODBYE[language_of(contact, settings)], tag=[settings.tag])
    if words in map(fold, settings.start) and has_left:
        await context.storage.delete(contact.id)
        return reply(WELCOME[language_of(contact, settings)], untag=[settings.tag])
    # An answer without messages keeps everybody quiet; None lets the next plugin, or the agent, answer.
    return reply() if has_left else None


# Asked before anything that the bot is about to say, whoever thought of it: a rule, a flow, an agent.
@hook
def before_reply(
    message: Message, contact: Contact, messages: list[Outgoing], context: Context[Settings]
) -> list[Outgoing] | None:
    settings = context.settings
    if message.chat_type != "private" or settings.tag not in contact.tags:
        return None  # as it is
    # The one word that may still be said is the welcome, or STOP could never be undone.
    is_back = fold(message.text) in map(fold, settings.start)
    return messages if is_back else []


def language_of(contact: Contact, settings: Settings) -> str:
    """By the country of the number: the longest of the prefixes above that it begins with."""
    phone = contact.phone or ""
    known = [prefix for prefix in LANGUAGES if phone.startswith(prefix)]
    return LANGUAGES[max(known, key=len)] if known else settings.language
