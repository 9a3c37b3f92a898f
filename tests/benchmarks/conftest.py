"""The benchmarks as modules: they are commands outside the package."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark_module(monkeypatch):
    """Imports a file of benchmarks/ by name, as the command would find it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module
