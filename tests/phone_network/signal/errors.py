"""What can go wrong with a ciphertext.

SignalError
├── UntrustedBundle          a prekey bundle whose signature is not its identity's
└── Undecryptable            ask the sender to encrypt it again, or lose it
    ├── Malformed            not one of Signal's messages, or of another version
    ├── NoSession            nothing known of this sender, or none of the sessions fits
    ├── UnknownPreKey        encrypted to a prekey that is used up or not ours
    ├── OldCounter           read before: a key serves once
    ├── TooFarAhead          more skipped messages than anyone keeps keys for
    ├── BadMac               changed on the way, or a ratchet out of step
    └── NoSenderKey          a group message whose sender never told us their key
"""


class SignalError(Exception):
    pass


class UntrustedBundle(SignalError):
    pass


class Undecryptable(SignalError):
    pass


class Malformed(Undecryptable):
    pass


class NoSession(Undecryptable):
    pass


class UnknownPreKey(Undecryptable):
    pass


class OldCounter(Undecryptable):
    pass


class TooFarAhead(Undecryptable):
    pass


class BadMac(Undecryptable):
    pass


class NoSenderKey(Undecryptable):
    pass
