"""What goes wrong with one account, as the tests have ordered it."""

from dataclasses import dataclass
from typing import Literal


@dataclass
class Faults:
    # The attributes of the <failure> that its next logins get.
    refusal: dict[str, str] | None = None
    # None: at once. A float: that many seconds late. An int: with this error.
    acks: Literal["withheld"] | float | int | None = None
