"""Phones whose device was linked once, for all tests that begin with a linked account.

A link costs a second or two and a process of its own; to resume costs a tenth.
"""

from collections import deque
from copy import deepcopy
from typing import TYPE_CHECKING

from msgspec import Struct

from relay.engines.engine import Linked
from tests.engines.phones import Recorder, link
from tests.phone_network.accounts import Account as Phone
from tests.phone_network.accounts import Device, PreKeys
from tests.phone_network.activity import Synced
from tests.phone_network.app_state import AppState
from tests.phone_network.network import WhatsApp
from tests.phone_network.services import Services

if TYPE_CHECKING:
    from tests.engines.neonize_phones import NeonizePhones


class LinkedPhone(Struct, frozen=True, kw_only=True):
    """A phone with its one companion, apart from any network."""

    auth: bytes
    phone: Phone
    device: Device
    app_state: AppState

    def join(self, network: WhatsApp, services: Services) -> Phone:
        """The same phone in another network, as it was right after the link."""
        known = self.phone
        phone = network.new_account(phone=known.pn.user, lid=known.lid.user, name=known.name)
        phone.keys, phone.next_device = known.keys, known.next_device
        device, prekeys = self.device, self.device.prekeys
        phone.devices[device.number] = Device(
            account=phone,
            number=device.number,
            noise_key=device.noise_key,
            prekeys=PreKeys(**{**vars(prekeys), "one_time": deque(prekeys.one_time)}),
            signed_identity=device.signed_identity,
            platform=device.platform,
        )
        services._app_states[phone] = deepcopy(self.app_state)
        return phone


async def link_phones(phones: "NeonizePhones", number: int) -> list[LinkedPhone]:
    """That many, each linked as a person does it, up to the phone's settings."""
    return [await _link_one(phones) for _ in range(number)]


async def _link_one(phones: "NeonizePhones") -> LinkedPhone:
    account, heard = await phones.new_account(), Recorder()
    engine = await link(phones, account, heard)
    await phones.services.activity.first(
        Synced,
        lambda synced: synced.by.user == heard.get(Linked).phone and synced.collection == "critical_block",
    )
    await phones.settle()
    await engine.stop()
    phone = phones.phone_of(account)
    (device,) = phone.devices.values()
    return LinkedPhone(
        auth=await engine.snapshot() or heard.auth,
        phone=phone,
        device=device,
        app_state=phones.services.app_state(phone),
    )
