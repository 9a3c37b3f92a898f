"""What `zipmap fit` sets for GPUs before torch is loaded, and when it trains."""

import json
import subprocess
import sys

import pytest

from zipmap_pl.cli.fit import ALLOCATOR_SETTINGS

FIT = """
import json, os, sys
from zipmap_pl.cli import fit
seen = []
os.environ.pop("PYTORCH_ALLOC_CONF", None)
fit.os.environ.update(json.loads(sys.argv[1]))
let = fit.let_segments_grow
fit.let_segments_grow = lambda: (seen.append("torch" in sys.modules), let())
from zipmap_pl.cli.main import main
main(["fit", "--show"])
print(json.dumps([seen, {name: os.environ.get(name) for name in fit.ALLOCATOR_SETTINGS}]))
"""


@pytest.mark.parametrize("chosen", [None, *ALLOCATOR_SETTINGS])
def test_the_allocator_extends_its_segments_unless_the_user_chose(chosen, monkeypatch) -> None:
    for name in ALLOCATOR_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    mine = {} if chosen is None else {chosen: "max_split_size_mb:64"}
    told = subprocess.run(
        [sys.executable, "-c", FIT, json.dumps(mine)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.splitlines()[-1]
    torch_was_loaded, found = json.loads(told)
    assert torch_was_loaded == [False]
    wanted = mine or {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    assert {name: value for name, value in found.items() if value is not None} == wanted
