"""Everything that WhatsApp does besides carrying messages, in one place for the tests.

It comes after login.py and phones.py have registered themselves:

services = Services(network)
services.groups.create(anna, "Team", [ben, account])
services.calls.ring(anna, account)
await services.activity.first(Read, lambda read: "3EB0…" in read.message_ids)
"""

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.phone_network import receipts
from tests.phone_network.accounts import Account
from tests.phone_network.activity import Activity
from tests.phone_network.app_state import AppState
from tests.phone_network.calls import Calls
from tests.phone_network.groups import Groups
from tests.phone_network.iq import app_state, devices, groups, media, pictures, settings, usync
from tests.phone_network.media_host import HOST, MediaHost
from tests.phone_network.node import Attribute, Jid, Node
from tests.phone_network.presence import Presences
from tests.phone_network.profiles import Profiles

if TYPE_CHECKING:
    from tests.phone_network.network import WhatsApp


class Services:
    """Registers itself with the network."""

    def __init__(self, network: "WhatsApp", clock: Callable[[], float] | None = None) -> None:
        self._network = network
        self._app_states: dict[Account, AppState] = {}
        self.clock = clock = clock or network.clock
        self.spellings: dict[str, str] = {}
        """Numbers that people write in another way than WhatsApp: older Brazilian ones have no ninth digit there."""
        self.activity = Activity()
        self.media = MediaHost()
        self.profiles = Profiles(self.media)
        self.groups = Groups(self.tell, clock)
        self.presences = Presences(self.activity)
        self.calls = Calls(network, self.activity, clock)
        self._register()

    def find(self, jid: Jid) -> Account | None:
        """By phone number or LID, whatever the device."""
        return self._network.account_of(jid.account)

    def app_state(self, account: Account) -> AppState:
        """What the account's devices share; it begins with the phone's push name."""
        if account not in self._app_states:
            state = self._app_states[account] = AppState()
            if account.name:
                state.set_push_name(account.name, self.clock())
        return self._app_states[account]

    def set_push_name(self, account: Account, name: str) -> None:
        """The phone's user calls themselves otherwise; the companions fetch it."""
        account.name = name
        self.app_state(account).set_push_name(name, self.clock())
        self.tell_of_settings(account, "critical_block")

    def tell_of_settings(self, account: Account, collection: str) -> None:
        """A collection has changed: the companions fetch what they have not seen."""
        version = str(self.app_state(account).collection(collection).version)
        attrs: dict[str, Attribute] = {
            "from": account.pn,
            "type": "server_sync",
            "id": secrets.token_hex(8).upper(),
        }
        attrs["t"] = str(int(self.clock()))
        self.tell(
            account,
            Node("notification", attrs, [Node("collection", {"name": collection, "version": version})]),
        )

    def tell(self, account: Account, node: Node) -> None:
        """Take a stanza to all linked devices of an account, to those that are away when they are back."""
        for device in account.devices.values():
            self._network.deliver(device, node)

    def _register(self) -> None:
        for handlers in (usync, devices, settings, pictures, media, groups, app_state):
            handlers.register(self._network, self)
        receipts.register(self._network, self.activity)
        self.presences.register(self._network)
        self.calls.register()
        self._network.https[HOST] = self.media.handle
