"""Arrays as the bytes of a .npz: without pickles and without times, so the same arrays give the same bytes."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np


def npz_bytes(arrays: Mapping[str, np.ndarray], comment: bytes = b"") -> bytes:
    """A .npz that holds these arrays in this order, uncompressed; `comment` becomes its last bytes.

    Raises:
        ValueError: an array of objects.
    """
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.comment = comment
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return data.getvalue()
