"""Tars read in place, plain, compressed and in parts: members without the others, refused links, damage as faults."""

import gzip
import io
import os
import random
import re
import subprocess
import tarfile
import zlib

import numpy as np
import pytest
from miniatures.tars import written_parts, written_tar
from traced_memory import taken_at_most

from zipmap_pl.preprocess.formats import gzip_index, sources, tars
from zipmap_pl.preprocess.formats.gzip_index import Inflated, find_places, primed
from zipmap_pl.preprocess.formats.npz import read_arrays
from zipmap_pl.preprocess.formats.raw_file import RawFile
from zipmap_pl.preprocess.formats.seekable import open_seekable
from zipmap_pl.preprocess.formats.sources import Tarred, exists, find_folders, folders_in, join, names_in, read_bytes
from zipmap_pl.preprocess.formats.tars import OpenTar, is_tar, table_of
from zipmap_pl.preprocess.kept import kept_in
from zipmap_pl.preprocess.raw import RawFault

NAMES = ["a.tar", "a.tar.gz", "a.tgz", "a.tar00", "a.tar.gz00", "a.tar.gz.partaa"]
FILES = {"a/1.txt": b"one", "a/2.txt": bytes(range(256)) * 9, "b/ü.txt": b"three", "b/" + "n" * 300: b"long"}


@pytest.mark.parametrize("name", NAMES)
def test_members_are_read(tmp_path, name):
    top = Tarred(written_tar(tmp_path / name, FILES), ".")
    assert is_tar(name)
    assert {file: read_bytes(join(top, file)) for file in FILES} == FILES
    assert (names_in(join(top, "a")), folders_in(top), exists(join(top, "a/3.txt"))) == (
        ["1.txt", "2.txt"],
        ["a", "b"],
        False,
    )


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz.partaa"])
def test_arrays_of_an_npz_that_is_too_large_to_be_read_whole_are_read(tmp_path, name, monkeypatch):
    """PointOdyssey's cameras lie behind gigabytes of tracks, in an archive of archives."""
    npz = io.BytesIO()
    np.savez(npz, tracks=np.random.default_rng(0).random(5000), poses=np.eye(4), times=np.arange(3))
    file = Tarred(written_tar(tmp_path / name, {"before": b"1" * 700, "a.npz": npz.getvalue(), "after": b"2"}), "a.npz")
    monkeypatch.setattr(sources, "MAX_BYTES", 20_000)
    with pytest.raises(RawFault, match="expected at most 20000"):
        read_bytes(file)
    times, poses = read_arrays(file, "times", "poses")
    assert times.tolist() == [0, 1, 2] and (poses == np.eye(4)).all()


def test_members_that_are_opened_are_refused_as_those_that_are_read(tmp_path):
    archive = written_tar(tmp_path / "a.tar", {"empty": b""}, (odd("link", tarfile.SYMTYPE, "empty"),))
    for name, reason in (("empty", "empty file"), ("link", "is a link"), ("other", "missing")):
        with pytest.raises(RawFault, match=reason):
            open_seekable(Tarred(archive, name))


@pytest.mark.parametrize("options", [[], ["--format=posix"], ["--format=v7"], ["--format=gnu", "-z"]])
def test_what_tar_itself_writes_is_read(tmp_path, options):
    (tmp_path / "raw/x/y").mkdir(parents=True)
    for number in range(5):
        (tmp_path / f"raw/x/y/{number}.bin").write_bytes(bytes([number]) * 1000 * number + b"end")
    archive = tmp_path / ("a.tar.gz" if "-z" in options else "a.tar")
    subprocess.run(["tar", *options, "-C", tmp_path / "raw", "-cf", archive, "."], check=True)
    for number in range(5):
        assert read_bytes(Tarred(archive, f"x/y/{number}.bin")) == bytes([number]) * 1000 * number + b"end"


def odd(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path, name, kind):
    top = Tarred(written_tar(tmp_path / name, FILES, (odd("a/x", kind, "/etc/passwd"),)), ".")
    with pytest.raises(RawFault, match=r"a/x: is a link, expected a file"):
        read_bytes(join(top, "a/x"))
    assert read_bytes(join(top, "a/1.txt")) == b"one"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "C:/x"])
def test_members_that_lead_out_are_in_no_folder(tmp_path, name):
    archive = written_tar(tmp_path / "a.tar", FILES, (odd(name, tarfile.REGTYPE),))
    found = find_folders(tmp_path, re.compile(r".*/(b)"), tars=True)
    assert found.places == {"b": (Tarred(archive, "b"),)}
    (scene,) = found.unreadable
    assert [(out.file, out.reason) for out in scene.left_out] == [
        (f"{archive}/{name}", "its name leads out of its folder")
    ]
    assert folders_in(Tarred(archive, ".")) == ["a", "b"]


def test_a_name_that_is_there_twice_is_a_fault(tmp_path):
    archive = written_tar(tmp_path / "a.tar", FILES, (odd("a/z/../1.txt", tarfile.REGTYPE),))
    with pytest.raises(RawFault, match="two members of the archive have this name"):
        read_bytes(Tarred(archive, "a/1.txt"))


def test_tars_are_searched_only_where_a_reader_wants_them(tmp_path):
    written_tar(tmp_path / "a.tar", FILES)
    assert find_folders(tmp_path, re.compile(r".*/(b)")).places == {}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_table_is_all_that_is_needed_to_read(tmp_path, name):
    """Arrays of plain numbers, which are kept as they are; made again they are the same."""
    archive = written_tar(tmp_path / name, FILES)
    table = table_of(archive)
    np.savez(tmp_path / "kept.npz", **table)
    with np.load(tmp_path / "kept.npz") as kept:
        opened = OpenTar(archive, dict(kept))
    assert {file: opened.read(file) for file in FILES} == FILES
    again = table_of(archive)
    assert all(np.array_equal(values, again[name]) for name, values in table.items())


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_is_gone_through_once_for_all_processes_until_a_part_changes(tmp_path, monkeypatch, name):
    passes, real = [], table_of
    monkeypatch.setattr(tars, "table_of", lambda archive: passes.append(archive) or real(archive))
    (tmp_path / "raw").mkdir()
    archive = written_tar(tmp_path / "raw" / name, FILES)
    last = max((tmp_path / "raw").iterdir())
    with kept_in(tmp_path / "tables", tmp_path / "raw"):
        for _ in range(2):
            sources._opened.cache_clear()  # as in another process
            assert read_bytes(Tarred(archive, "a/1.txt")) == b"one"
        assert passes == [archive]
        os.utime(last, ns=(0, 0))
        sources._opened.cache_clear()
        assert read_bytes(Tarred(archive, "a/1.txt")) == b"one"
        assert passes == [archive, archive]


def test_the_tables_of_tars_are_listed_but_for_tars_inside_of_scenes(tmp_path):
    for name in (
        "b/y.tar",
        "b/x.tgz",
        "a.tar.gz00",
        "a.tar.gz01",
        "c.txt",
        "lost.tar00",
        "lost.tar02",
        "b/scene1/z.tar",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [table.source for table in sources.tar_tables(tmp_path, re.compile(".*/scene[0-9]"))] == [
        tmp_path / name for name in ("a.tar.gz00", "b/x.tgz", "b/y.tar")
    ]


def test_a_table_of_another_archive_is_refused(tmp_path):
    table = table_of(written_tar(tmp_path / "a.tar", FILES))
    written_tar(tmp_path / "a.tar", {"a/1.txt": b"x" * 20_000})
    with pytest.raises(RawFault, match="its files changed after they were listed"):
        OpenTar(tmp_path / "a.tar", table)


def test_a_compressed_member_that_changed_without_its_table_is_a_fault(tmp_path):
    archive = written_tar(tmp_path / "a.tar.gz", {"a": b"1234"})
    stored = gzip.compress(gzip.decompress(archive.read_bytes()), 0)
    archive.write_bytes(stored)
    table = table_of(archive)
    archive.write_bytes(stored.replace(b"1234", b"1235"))
    with pytest.raises(ValueError, match="its bytes changed"):
        OpenTar(archive, table).read("a")


@pytest.mark.parametrize("name", ["a.tar00", "a.tar.gz.partaa"])
def test_a_missing_part_is_a_fault(tmp_path, name):
    archive = written_tar(tmp_path / name, {"a": os.urandom(40_000)})
    parts = sorted(tmp_path.iterdir())
    parts[2].rename(tmp_path / "last")
    with pytest.raises(RawFault, match=r"unreadable tar \(.*"):
        read_bytes(Tarred(archive, "a"))
    (tmp_path / "last").rename(parts[2])
    parts[1].unlink()
    with pytest.raises(RawFault, match="1 parts follow each other, but .* one is missing"):
        read_bytes(Tarred(archive, "a"))


def test_a_missing_archive_and_a_folder_are_faults(tmp_path):
    (tmp_path / "b.tar").mkdir()
    for name, reason in (("a.tar", "missing"), ("a.tar00", "missing"), ("b.tar", "is a folder")):
        with pytest.raises(RawFault, match=reason):
            read_bytes(Tarred(tmp_path / name, "a"))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_an_archive_cut_anywhere_is_a_fault(tmp_path, name):
    archive = written_tar(tmp_path / name, FILES)
    whole = archive.read_bytes()
    end = len(gzip.decompress(whole)) if name.endswith("gz") else len(whole.rstrip(b"\0")) + 300
    for length in random.Random(0).sample(range(min(end, len(whole))), 40):
        archive.write_bytes(whole[:length])
        with pytest.raises(RawFault, match=r"unreadable tar \("):
            table_of(archive)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_an_altered_archive_is_a_fault_or_read_and_compressed_ones_are_never_read_wrong(tmp_path, name):
    archive = written_tar(tmp_path / name, FILES)
    whole = archive.read_bytes()
    chance = random.Random(1)
    for place in chance.sample(range(len(whole)), 120 if name == "a.tar" else 300 % len(whole)):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
        try:
            opened = OpenTar(archive, table_of(archive))
            found = {file: opened.read(file) for file in opened.listing.members if opened.is_file(file)}
            assert name == "a.tar" or found == FILES
        except RawFault as fault:
            assert fault.file == str(archive)


def test_a_header_that_promises_much_takes_no_memory(tmp_path):
    """tarfile reads a long name at once."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    written_parts(tmp_path / "a.tar", info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with taken_at_most(3_000_000), pytest.raises(RawFault, match="promises 8589934592 bytes"):
        table_of(tmp_path / "a.tar")


def test_what_inflates_to_much_more_takes_no_memory(tmp_path):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", compresslevel=1) as tar:
        info = tarfile.TarInfo("x")
        info.size = 64 << 20
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    (tmp_path / "a.tar.gz").write_bytes(data.getvalue())
    with taken_at_most(16_000_000):
        table_of(tmp_path / "a.tar.gz")


# Places in a gzip file.


@pytest.mark.parametrize("bits", range(1, 8))
@pytest.mark.parametrize("byte", [0, 0b10110101, 255])
def test_decompression_begins_in_the_middle_of_a_byte(bits, byte):
    """A block of no contents, then the block that begins at that bit: fixed codes, 'a' (10010001), the end."""
    block = "110" + "10010001" + "0000000"
    taken, rest = block[:bits], block[bits:]
    start = primed(bits, int(taken[::-1], 2) << (8 - bits) | byte >> bits)
    rest += "0" * (-len(rest) % 8)
    following = int(rest[::-1], 2).to_bytes(len(rest) // 8, "little")
    assert zlib.decompress(start + following, -15) == b"a"


@pytest.fixture(scope="module")
def numbers():
    return np.cumsum(np.random.default_rng(0).integers(-2, 3, 600_000)).astype(np.uint8).tobytes()


@pytest.mark.parametrize("level", [0, 1, 9])
def test_any_bytes_of_a_long_file_are_read(tmp_path, numbers, monkeypatch, level):
    """Several members, one of them empty, and padding, as pigz, cat and tape drives leave them."""
    monkeypatch.setattr(gzip_index, "SPACING", 1 << 16)
    cut = 200_000
    data = gzip.compress(numbers[:cut], level) + gzip.compress(b"") + gzip.compress(numbers[cut:], level) + bytes(512)
    (tmp_path / "a.gz").write_bytes(data)
    stream = RawFile([tmp_path / "a.gz"])
    arrays = find_places(stream)
    assert len(arrays["gzip_places"]) > 5
    inflated = Inflated(stream, arrays)
    chance = random.Random(0)
    for _ in range(60):
        start = chance.randrange(len(numbers))
        count = min(chance.randrange(1, 90_000), len(numbers) - start)
        assert inflated.read(start, count) == numbers[start : start + count]
    with pytest.raises(EOFError):
        inflated.read(len(numbers) - 5, 6)


def test_frames_in_order_are_decompressed_once(tmp_path, numbers, monkeypatch):
    (tmp_path / "a.gz").write_bytes(gzip.compress(numbers))
    stream = RawFile([tmp_path / "a.gz"])
    inflated = Inflated(stream, find_places(stream))
    begun = []
    monkeypatch.setattr(Inflated, "_from", lambda self, row, old=Inflated._from: begun.append(row) or old(self, row))
    for start in range(0, len(numbers), 50_000):
        assert inflated.read(start, 40_000) == numbers[start : start + 40_000]
    assert begun == [0]


def test_a_process_that_was_forked_does_not_disturb_the_archives_of_the_other(tmp_path):
    contents = {f"{k}.bin": np.random.default_rng(k).bytes(3000) for k in range(8)}
    archive = written_tar(tmp_path / "a.tar.gz", contents)
    for name, data in contents.items():
        assert read_bytes(Tarred(archive, name)) == data
        child = os.fork()
        if child == 0:
            read_bytes(Tarred(archive, "7.bin"))
            os._exit(0)
        os.waitpid(child, 0)


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    from zipmap_pl.errors import UserError

    archive = written_tar(tmp_path / "a.tar.gz", FILES)
    monkeypatch.setitem(__import__("sys").modules, "indexed_gzip", None)
    with pytest.raises(UserError, match=r"zipmap_pl\[archives\]"):
        table_of(archive)
    assert tars.table_of(written_tar(tmp_path / "a.tar", FILES))["names"].size
