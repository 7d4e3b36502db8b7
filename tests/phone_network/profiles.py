"""What WhatsApp knows of an account besides its keys and name: about, picture, privacy, whom it blocked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from tests.phone_network.accounts import Account
from tests.phone_network.media_host import MediaHost, Stored
from tests.phone_network.node import Jid

PRIVACY = {
    "groupadd": "all",
    "last": "all",
    "status": "all",
    "profile": "all",
    "readreceipts": "all",
    "online": "all",
    "calladd": "all",
}


FindAccount = Callable[[Jid], Account | None]


@dataclass(frozen=True)
class Picture:
    id: str
    image: bytes = field(repr=False)
    stored: Stored


@dataclass
class Profile:
    """One account's. Tests may set any of it."""

    about: str = ""
    about_set_at: float = 0
    picture: Picture | None = None
    privacy: dict[str, str] = field(default_factory=lambda: dict(PRIVACY))
    blocked: list[Jid] = field(default_factory=list)
    trusted: list[Jid] = field(default_factory=list)
    """To whom it gave a privacy token, in order."""


class NotAnImage(Exception):
    """WhatsApp takes JPEG only."""


class Profiles:
    """Every account's profile, and the pictures of people and groups."""

    def __init__(self, media: MediaHost) -> None:
        self._media = media
        self._profiles: dict[Account, Profile] = {}
        self._picture_ids = count(1_700_000_000)

    def of(self, account: Account) -> Profile:
        return self._profiles.setdefault(account, Profile())

    def picture(self, image: bytes) -> Picture:
        """Store a picture for a profile or a group. Raises NotAnImage."""
        if not image.startswith(b"\xff\xd8\xff"):
            raise NotAnImage("a profile picture must be a JPEG")
        picture_id = str(next(self._picture_ids))
        return Picture(picture_id, image, self._media.put_picture(picture_id, image))

    def set_picture(self, account: Account, image: bytes | None) -> None:
        self.of(account).picture = None if image is None else self.picture(image)
