"""What goes wrong with one account, as the tests have ordered it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Faults:
    # The attributes of the <failure> that its next logins get.
    refusal: dict[str, str] | None = None
    # None: at once. A float: that many seconds late. An int: with this error.
    acks: Literal["withheld", "held"] | float | int | None = None
    # How many more get an error; None: all.
    refusals_left: int | None = None
    # Answers that wait for `give_acks()`.
    held: list[Callable[[], None]] = field(default_factory=list)

    def take_refusal(self) -> int | None:
        """The error for a message, if it is to get one."""
        if not isinstance(self.acks, int):
            return None
        error = self.acks
        if self.refusals_left is not None:
            self.refusals_left -= 1
            if self.refusals_left <= 0:
                self.acks = None
        return error
