"""A worker that reads from files of 2 GB stays far below 1.5 GB of memory."""

import gzip
import io
import subprocess
import sys
import tarfile
import zipfile

import h5py
import numpy as np
import pytest

MEMBERS, MEMBER = 128, 16 << 20  # 2 GiB
LIMIT = 1_500_000  # kB

READ = {
    "a.tar.gz": """
from zipmap_pl.preprocess.formats.sources import Tarred, names_in, read_bytes
names = names_in(Tarred(file, "frames"))
assert len(names) == 128
for name in (names[0], names[1], names[127], names[64]):
    assert len(read_bytes(Tarred(file, f"frames/{name}"))) == 16 << 20
""",
    "a.npz": """
from zipmap_pl.preprocess.formats.npz import read_arrays
(poses,) = read_arrays(file, "poses")
assert poses.shape == (100, 4, 4)
""",
    "a.hdf5": """
from zipmap_pl.preprocess.formats.hdf5 import opened
for number in (0, 127, 60):
    with opened(file) as hdf5:
        assert hdf5.array("depth", "f", (None, 2048, 2048), slice(number, number + 1)).shape == (1, 2048, 2048)
""",
}


def write_tar(file):
    """Each part is compressed on its own, the same contents once."""
    contents = gzip.compress(np.random.default_rng(0).integers(0, 64, MEMBER, np.uint8).tobytes(), 1)
    with file.open("wb") as written:
        for number in range(MEMBERS):
            info = tarfile.TarInfo(f"frames/{number:06d}.bin")
            info.size = MEMBER
            written.write(gzip.compress(info.tobuf()) + contents)
        written.write(gzip.compress(bytes(2 * tarfile.BLOCKSIZE)))


def write_npz(file):
    block = np.random.default_rng(0).bytes(MEMBER)
    head, poses = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (MEMBERS * MEMBER,)})
    np.save(poses, np.zeros((100, 4, 4)))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("tracks.npy", "w", force_zip64=True) as tracks:
            tracks.write(head.getvalue())
            for _ in range(MEMBERS):
                tracks.write(block)
        archive.writestr("poses.npy", poses.getvalue())


def write_hdf5(file):
    frame = np.random.default_rng(0).random((2048, 2048), np.float32)
    with h5py.File(file, "w") as written:
        depth = written.create_dataset("depth", (MEMBERS, 2048, 2048), np.float32, chunks=(1, 2048, 2048))
        for number in range(MEMBERS):
            depth[number] = frame


@pytest.mark.long
@pytest.mark.parametrize("name", READ)
def test_memory_stays_below_the_limit_of_a_worker(tmp_path, name):
    file = tmp_path / name
    {"a.tar.gz": write_tar, "a.npz": write_npz, "a.hdf5": write_hdf5}[name](file)
    code = (
        f"import resource, pathlib; file = pathlib.Path({str(file)!r})\n{READ[name]}\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    file.unlink()
    assert int(done.stdout) < LIMIT
    print(f"{name}: {int(done.stdout) // 1000} MB")
