"""Files of a miniature: what is written is given as bytes by path, so that a folder and a zip hold the same."""

import io
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import h5py
import numpy as np
import OpenEXR


def png(picture: np.ndarray) -> bytes:
    """A PNG of [H, W, 3] uint8 RGB, or of [H, W] uint8 or uint16."""
    return cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture)[1].tobytes()


def rgba_png(picture: np.ndarray, alpha: np.ndarray) -> bytes:
    """A PNG of [H, W, 3] uint8 RGB and [H, W] uint8."""
    return cv2.imencode(".png", np.dstack((picture[..., ::-1], alpha)))[1].tobytes()


def float_png(values: np.ndarray) -> bytes:
    """A PNG whose four channels, in OpenCV's order, are the bytes of floats [H, W]."""
    return cv2.imencode(".png", np.ascontiguousarray(values, "<f4").view(np.uint8).reshape(*values.shape, 4))[
        1
    ].tobytes()


def jpeg(picture: np.ndarray, quality: int) -> bytes:
    """A JPEG of [H, W, 3] uint8 RGB."""
    return cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes()


def exr(**channels: np.ndarray) -> bytes:
    """An EXR of channels [H, W] float16 or float32."""
    with TemporaryDirectory() as folder:
        file = f"{folder}/it.exr"
        with OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, channels) as image:
            image.write(file)
        return Path(file).read_bytes()


def npy(array: np.ndarray) -> bytes:
    """A .npy."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    """A .npz, not compressed."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def hdf5(arrays: dict[str, object], **packed: object) -> bytes:
    """An HDF5 file of arrays by their paths in it; lists of texts become strings of any length. `packed` is for h5py."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for path, array in arrays.items():
            file.create_dataset(path, data=array, **packed)
    return stream.getvalue()


def to_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write files below a folder, which need not be there."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def to_zip(archive: Path, files: dict[str, bytes], top: str = "") -> None:
    """Write files into a new zip, below a folder `top` in it."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in files.items():
            opened.writestr(f"{top}/{name}" if top else name, data)
