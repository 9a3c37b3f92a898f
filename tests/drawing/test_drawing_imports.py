"""Drawing and generating stay light: neither needs torch."""

import subprocess
import sys


def test_torch_is_not_imported():
    code = (
        "import sys, zipmap_pl.datasets.contact_sheet, zipmap_pl.drawing.sheet, zipmap_pl.preprocess.synthetic;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")
