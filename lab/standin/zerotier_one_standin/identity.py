"""Node identities: a random secret, a public key that is its hash, an address that is the key's hash.

The strings look like the real ones: `<10 hex>:0:<128 hex>[:<128 hex>]`. No key here ever signs anything.
"""

import hashlib
import os
import re
from dataclasses import dataclass

_PATTERN = re.compile(r"([0-9a-f]{10}):0:([0-9a-f]{128})(?::([0-9a-f]{128}))?")
_RESERVED_FIRST_OCTETS = (0x00, 0xFF)


@dataclass(frozen=True)
class Identity:
    """Who a node is."""

    address: int
    public: bytes
    secret: bytes | None = None

    @property
    def address_text(self) -> str:
        """The ten digits."""
        return f"{self.address:010x}"

    @property
    def public_text(self) -> str:
        """The line of identity.public."""
        return f"{self.address_text}:0:{self.public.hex()}"

    @property
    def secret_text(self) -> str:
        """The line of identity.secret."""
        return f"{self.public_text}:{(self.secret or b'').hex()}"

    @property
    def valid(self) -> bool:
        """Whether the parts belong together. Identities of the real tool do not, here."""
        own = _public_key(self.secret) == self.public if self.secret is not None else True
        return own and _address(self.public) == self.address


def _public_key(secret: bytes) -> bytes:
    return hashlib.sha512(b"stand-in public key" + secret).digest()


def _address(public: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"stand-in address" + public).digest()[:5], "big")


def generate() -> Identity:
    """A new identity."""
    while True:
        secret = os.urandom(64)
        public = _public_key(secret)
        address = _address(public)
        if address >> 32 not in _RESERVED_FIRST_OCTETS:
            return Identity(address, public, secret)


def parse(text: str) -> Identity | None:
    """Read an identity's line; None if it is not one."""
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        return None
    address, public, secret = match.groups()
    return Identity(int(address, 16), bytes.fromhex(public), bytes.fromhex(secret) if secret else None)
