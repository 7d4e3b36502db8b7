"""Prekey bundles as stanzas carry them: in answers about keys, and in receipts that ask for a message again."""

from tests.phone_network.node import Node
from tests.phone_network.signal.keys import KEY_TYPE, PreKeyBundle


def bundle_nodes(bundle: PreKeyBundle) -> list[Node]:
    """Type, identity, signed prekey and, when there is one, the one-time prekey."""
    signed = [
        Node("id", content=bundle.signed_prekey_id.to_bytes(3)),
        Node("value", content=bundle.signed_prekey),
        Node("signature", content=bundle.signature),
    ]
    nodes = [
        Node("type", content=KEY_TYPE),
        Node("identity", content=bundle.identity),
        Node("skey", content=signed),
    ]
    if bundle.prekey_id is not None and bundle.prekey is not None:
        one_time = [Node("id", content=bundle.prekey_id.to_bytes(3)), Node("value", content=bundle.prekey)]
        nodes.append(Node("key", content=one_time))
    return nodes


def registration_node(bundle: PreKeyBundle) -> Node:
    return Node("registration", content=bundle.registration_id.to_bytes(4))


def read_bundle(registration: Node, keys: Node) -> PreKeyBundle:
    """The other way round. Raises KeyError when something is missing."""
    prekey_id, prekey = keys.find("key", "id"), keys.find("key", "value")
    return PreKeyBundle(
        registration_id=int.from_bytes(registration.data),
        identity=_data(keys, "identity"),
        signed_prekey_id=int.from_bytes(_data(keys, "skey", "id")),
        signed_prekey=_data(keys, "skey", "value"),
        signature=_data(keys, "skey", "signature"),
        prekey_id=int.from_bytes(prekey_id.data) if prekey_id else None,
        prekey=prekey.data if prekey else None,
    )


def _data(node: Node, *path: str) -> bytes:
    found = node.find(*path)
    if found is None:
        raise KeyError("/".join(path))
    return found.data
