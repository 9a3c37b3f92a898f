"""plan/plan.jsonl: a summary with checksums of itself and of what follows, then one line per scene."""

import hashlib
import json
from pathlib import Path

from zipmap_pl.datasets.format.seal import BrokenSeal, seal, unseal

PLAN_FILE = "plan.jsonl"
# A summary from before it had a checksum holds these; its settings are held by their fingerprint.
KEYS_BEFORE_SEALS = {"settings", "fingerprint", "scenes", "frames", "shards", "left_out", "scenes_sha256"}


def pack_plan(summary: dict, scenes: list[dict]) -> bytes:
    """The bytes of a plan: `summary` gets the checksum of the scenes, and one of itself."""
    lines = "".join(json.dumps(scene, sort_keys=True) + "\n" for scene in scenes).encode()
    summary = {**summary, "scenes_sha256": hashlib.sha256(lines).hexdigest()}
    return seal(json.dumps(summary, sort_keys=True).encode()) + b"\n" + lines


def parse_plan(data: bytes) -> tuple[dict, list[bytes]]:
    """The summary, and the line of each scene. Raises ValueError if a bit was changed."""
    head, _, lines = data.partition(b"\n")
    summary = parse_summary(head)
    _compare(summary, hashlib.sha256(lines).hexdigest())
    return summary, lines.splitlines()


def check_plan(file: Path) -> dict:
    """Look at every byte of a plan; returns its summary. Raises ValueError if a bit was changed, and OSError."""
    with open(file, "rb") as stream:
        summary = parse_summary(stream.readline().removesuffix(b"\n"))
        _compare(summary, hashlib.file_digest(stream, "sha256").hexdigest())
    return summary


def parse_summary(head: bytes) -> dict:
    """The first line. Raises ValueError if a bit was changed."""
    sealed = unseal(head)
    summary = json.loads(head if sealed is None else sealed)
    if not isinstance(summary, dict) or (sealed is None and summary.keys() != KEYS_BEFORE_SEALS):
        raise BrokenSeal("its first line has no checksum")
    if sealed is None and json.dumps(summary, sort_keys=True).encode() != head:
        raise ValueError("its first line was changed")
    return summary


def _compare(summary: dict, checksum: str) -> None:
    if summary.get("scenes_sha256") != checksum:
        raise ValueError("the scenes have another checksum than its first line says")
