"""The table names functions, classes and fields: each of them is there."""

from dataclasses import fields

import pytest
import torch

from zipmap_pl.contracts.prediction import Prediction, QueriedViews
from zipmap_pl.models.heads import activations, camera, table


@pytest.mark.parametrize("row", table.DENSE_HEADS, ids=lambda row: row.key)
def test_an_activation_gives_a_tensor_for_each_field_of_the_prediction(row: table.DenseRow) -> None:
    values = getattr(activations, row.activation)(torch.rand(2, row.channels))
    assert len(values if isinstance(values, tuple) else (values,)) == len(row.fields)
    assert set(row.fields) <= {field.name for field in fields(Prediction)}


def test_heads_for_rays_fill_the_queried_views() -> None:
    rows = [row for row in table.DENSE_HEADS if row.looks_at == table.RAYS]
    assert {name for row in rows for name in row.fields} == {field.name for field in fields(QueriedViews)}


@pytest.mark.parametrize("kind", table.CAMERA_HEADS)
def test_a_camera_head_has_its_class(kind: str) -> None:
    assert isinstance(getattr(camera, table.CAMERA_HEADS[kind].layer), type)
