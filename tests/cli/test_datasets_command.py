"""`zipmap datasets`: all 29, and which of them are here."""

import json
import re

from zipmap_pl.cli.main import main
from zipmap_pl.preprocess.not_built import NOT_BUILT
from zipmap_pl.preprocess.registry import published


def listed(capsys, folder):
    """Name -> its three lines; and the last line."""
    assert main(["datasets", "--shards", str(folder)]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    blocks = [" ".join(line.strip() for line in lines[k : k + 3]) for k in range(0, len(lines), 3)]
    return {block.split()[0]: block for block in blocks}, last


def test_all_29_are_listed_with_terms_where_to_get_them_and_size(tmp_path, capsys):
    blocks, last = listed(capsys, tmp_path)
    assert len(blocks) == 29 and list(blocks) == sorted(blocks)
    for name, info in published().items():
        assert all(text in blocks[name] for text in (info.title, info.licence, info.url, info.raw_size, info.kind))
    assert re.match(rf"29 datasets, {29 - len(NOT_BUILT)} with a reader, 0 in shards below ", last)


def test_the_status_says_what_is_on_this_machine(tmp_path, capsys):
    command = ["preprocess", "synthetic", "--scenes", "1", "--heldout", "0", "--views", "4", "--workers", "1"]
    assert main([*command, "--output", str(tmp_path / "spring")]) == 0
    (tmp_path / "scannet/plan").mkdir(parents=True)
    (tmp_path / "hypersim").mkdir()
    (tmp_path / "hypersim/dataset.json").write_text(json.dumps({"schema_version": 999}))
    capsys.readouterr()
    blocks, last = listed(capsys, tmp_path)
    assert "): shards here, 4 frames of 1 scene " in blocks["spring"]
    assert "): shards here, not complete " in blocks["scannet"]
    assert "): shards here, damaged: see `zipmap shards verify" in blocks["hypersim"]
    assert "): reader, no shards here " in blocks["tartanair"]
    assert all("): no reader yet " in blocks[name] for name in NOT_BUILT)
    assert ", 3 in shards below" in last
