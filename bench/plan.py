"""How long and how often to measure."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class Plan:
    runs: int
    messages: int
    """Of one throughput run."""
    seconds: float
    """Of a steady load."""
    sessions: int
    backlog: int
    whatsapp_messages: int
    """Of one run over sessions of WhatsApp."""
    whatsapp_sessions: int
    rest_seconds: float
    """Before memory is read: a minute is how often a session's file is made small."""
    saturation: float = 0.0
    """Messages a second, once measured."""


def full(runs: int) -> Plan:
    return Plan(
        runs=runs,
        messages=40_000,
        seconds=20.0,
        sessions=1_000,
        backlog=200_000,
        whatsapp_messages=10_000,
        whatsapp_sessions=200,
        rest_seconds=70.0,
    )


def quick(runs: int) -> Plan:
    return Plan(
        runs=runs,
        messages=15_000,
        seconds=6.0,
        sessions=200,
        backlog=20_000,
        whatsapp_messages=3_000,
        whatsapp_sessions=50,
        rest_seconds=8.0,
    )
