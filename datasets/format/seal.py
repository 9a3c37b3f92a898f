"""A JSON object that holds a checksum of all its other bytes as its last entry: any changed bit is noticed."""

import hashlib
import re

SEAL_KEY = "sha256"
_SEAL = re.compile(rb', "sha256": "([0-9a-f]{64})"(\n?\})\Z')


class BrokenSeal(ValueError):
    """The bytes are not those that were sealed."""


def seal(text: bytes) -> bytes:
    """The text of a JSON object, which is not empty, with one more entry: the sha256 of the text as given."""
    end = b"\n}" if text.endswith(b"\n}") else b"}"
    checksum = hashlib.sha256(text).hexdigest().encode()
    return text.removesuffix(end) + b', "sha256": "' + checksum + b'"' + end


def unseal(text: bytes) -> bytes | None:
    """What was given to `seal`; None if the text does not end in a seal. Raises BrokenSeal if a bit was changed."""
    found = _SEAL.search(text)
    if found is None:
        return None
    sealed = text[: found.start()] + found[2]
    if hashlib.sha256(sealed).hexdigest().encode() != found[1]:
        raise BrokenSeal("it is not what its own checksum says")
    return sealed
