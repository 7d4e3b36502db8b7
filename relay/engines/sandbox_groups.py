"""The groups of the sandbox's phone network: each is known from the first word in it, with those who have spoken.

They are remembered by the process, not by the database: after a restart a group is known again when somebody writes.
"""

from datetime import datetime

from relay.engines.engine import Group, Participant
from relay.engines.sandbox_people import lid_of
from relay.model.errors import NotFound
from relay.model.message import Party


class Groups:
    """Those that one account is in."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}
        self._spoke: dict[str, dict[str, Participant]] = {}

    def note(self, jid: str, at: datetime, speaker: Party | None = None) -> None:
        """Somebody wrote in the group; without a speaker, the account itself."""
        if not jid.endswith("@g.us"):
            return
        self._since.setdefault(jid, at)
        spoke = self._spoke.setdefault(jid, {})
        if speaker is not None and speaker.pn:
            lid = speaker.lid or lid_of(speaker.pn)
            spoke[speaker.pn] = Participant(pn=speaker.pn, lid=lid, is_admin=False)

    def list_all(self, own: Party) -> list[Group]:
        return [self.get(jid, own) for jid in self._since]

    def get(self, jid: str, own: Party) -> Group:
        """Raises NotFound."""
        if jid not in self._since:
            raise NotFound("The account is in no such group.")
        others = [one for pn, one in self._spoke[jid].items() if pn != own.pn]
        return Group(
            jid=jid,
            name=f"Group {jid.partition('@')[0][-4:]}",
            description=None,
            owner=own,
            created_at=self._since[jid],
            participants=[Participant(pn=own.pn, lid=own.lid, is_admin=True), *others],
            announce_only=False,
        )
