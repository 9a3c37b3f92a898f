"""dataset.json: its text, and what is looked at before anybody relies on it."""

import json

from zipmap_pl.datasets.format.schema import READABLE_VERSIONS, SCHEMA_VERSION
from zipmap_pl.datasets.format.seal import SEAL_KEY, BrokenSeal, seal, unseal
from zipmap_pl.errors import UserError

# A file from before dataset.json had a checksum holds these. One with another key, and without a seal, is damaged.
KEYS_BEFORE_SEALS = {
    "schema_version",
    "kind",
    "licence",
    "metres_per_raw_unit",
    "reader_version",
    "slug",
    "source",
    "title",
    "splits",
    "conventions",
    "settings",
    "fingerprint",
    "libraries",
    "counts",
    "faults",
    "left_out",
    "index_sha256",
}


def pack_dataset_file(contents: dict) -> bytes:
    """The bytes of dataset.json, with a checksum of themselves."""
    return seal(json.dumps(contents, indent=1).encode())


def parse_dataset_file(data: bytes, where: str) -> dict:
    """What `pack_dataset_file` was given. A file of an older version is read without a checksum of its own.

    Args:
        data: the bytes of the file.
        where: its path or URL.

    Raises:
        UserError: a bit was changed, it is no JSON of a dataset, or of a schema version that this program does not read.
    """
    try:
        info = dataset_contents(data)
    except ValueError as error:
        raise UserError(
            f"{where}: damaged, or changed by hand ({error}); `zipmap shards finish` on its folder writes it again"
        ) from error
    version = info["schema_version"]
    if version not in READABLE_VERSIONS:
        what = "use a newer zipmap_pl" if version > SCHEMA_VERSION else "preprocess with --rebuild"
        versions = ", ".join(map(str, READABLE_VERSIONS))
        raise UserError(f"{where}: schema version {version}, this program reads {versions}; {what}")
    return info


def dataset_contents(data: bytes) -> dict:
    """The same for any schema version. Raises ValueError if a bit was changed, or it is no JSON of a dataset."""
    info = _unsealed(data)
    try:
        if type(info["schema_version"]) is not int:
            raise ValueError(f"schema_version is {info['schema_version']!r}")
        if info["splits"] != sorted(info["splits"]):
            raise ValueError(f"splits are {info['splits']}, expected them sorted")
    except (KeyError, TypeError) as error:
        raise ValueError(f"no key {error}" if isinstance(error, KeyError) else error) from error
    return info


def _unsealed(data: bytes) -> dict:
    sealed = unseal(data)
    info = json.loads(data if sealed is None else sealed)
    if not isinstance(info, dict):
        raise ValueError(f"a {type(info).__name__}, expected an object")
    unknown = sorted(info.keys() - KEYS_BEFORE_SEALS)
    if sealed is None and unknown:
        raise BrokenSeal(f"it has no {SEAL_KEY!r} at its end, and an entry {unknown[0]!r}")
    return info
