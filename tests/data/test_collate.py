"""Padding, absence and weight end as masks."""

import torch

from mmtrain.contracts import ColumnSpec, DataSpec, SignalSpec
from mmtrain.data.collate import Sample, collate
from mmtrain.target import Target, TargetSpec

SPEC = DataSpec(
    signals={
        "text": SignalSpec("text", "text", length=9, vocabulary=("<pad>", "<unknown>", "a")),
        "image": SignalSpec("image", "image", shape=(1, 1, 2)),
        "audio": SignalSpec("audio", "audio", length=9, sample_rate=8),
        "frames": SignalSpec("frames", "video", shape=(2,), length=9),
    },
    targets={"label": TargetSpec("label", "class", ("no", "yes"), (1, 1))},
)
IMAGE = torch.tensor([[[1.0, 2.0]]])


def sample(number: int, label: int | None = 1, **values: torch.Tensor) -> Sample:
    target = Target(torch.tensor([label or 0]), torch.tensor([label is not None]))
    return Sample(f"s{number}", dict.fromkeys(SPEC.signals) | values, {"label": target}, key=number)


def test_samples_are_padded_to_the_longest_of_the_batch():
    """Not to the longest there can be."""
    batch = collate([sample(0, text=torch.tensor([2, 1])), sample(1, text=torch.tensor([2]))], SPEC)

    assert batch.signals["text"].values.tolist() == [[2, 1], [2, 0]]
    assert batch.signals["text"].mask.tolist() == [[True, True], [True, False]]
    assert batch.signals["text"].values.dtype == torch.int64


def test_fixed_shapes_are_stacked_under_a_mask_of_one_step():
    """Nothing is padded, so there is one step, real or not."""
    batch = collate([sample(0, image=IMAGE), sample(1)], SPEC)

    assert batch.signals["image"].values.tolist() == [[[[1, 2]]], [[[0, 0]]]]
    assert batch.signals["image"].mask.tolist() == [[True], [False]]


def test_steps_with_a_shape_are_padded_in_time_only():
    """Two frames of two numbers beside one frame."""
    batch = collate([sample(0, frames=torch.ones(2, 2)), sample(1, frames=torch.ones(1, 2))], SPEC)

    assert batch.signals["frames"].values.tolist() == [[[1, 1], [1, 1]], [[1, 1], [0, 0]]]
    assert batch.signals["frames"].mask.tolist() == [[True, True], [True, False]]


def test_blank_cells_of_a_table_are_masked():
    """At their own place, also where there is only one column."""
    two, one = (SignalSpec("row", "tabular", length=n, columns=(ColumnSpec(),) * n) for n in (2, 1))
    nan = float("nan")
    first = Sample("a", {"row": torch.tensor([nan, 3.0])}, {}, key=0)
    second = Sample("b", {"row": torch.tensor([4.0])}, {}, key=0)
    absent = Sample("c", {"row": None}, {}, key=0)

    wide = collate([first, absent], DataSpec({"row": two}, {})).signals["row"]
    narrow = collate([second, absent], DataSpec({"row": one}, {})).signals["row"]

    assert (wide.values.tolist(), wide.mask.tolist()) == ([[0, 3], [0, 0]], [[False, True], [False, False]])
    assert (narrow.values.tolist(), narrow.mask.tolist()) == ([[4], [0]], [[True], [False]])


def test_the_rows_that_have_a_modality_are_listed():
    """None says all, so that the model need not index."""
    batch = collate([sample(0, image=IMAGE), sample(1, image=IMAGE, audio=torch.ones(3))], SPEC)

    rows = {name: None if found is None else found.tolist() for name, found in batch.rows.items()}
    assert rows == {"text": [], "image": None, "audio": [1], "frames": []}


def test_a_modality_absent_from_the_whole_batch_has_one_masked_step():
    """With the dtype it has elsewhere: ids where there is a vocabulary."""
    batch = collate([sample(0), sample(1)], SPEC)

    shapes = {name: (tuple(signal.values.shape), signal.values.dtype) for name, signal in batch.signals.items()}
    assert shapes == {
        "text": ((2, 1), torch.int64),
        "image": ((2, 1, 1, 2), torch.float32),
        "audio": ((2, 1), torch.float32),
        "frames": ((2, 1, 2), torch.float32),
    }
    assert not any(signal.mask.any() for signal in batch.signals.values())


def test_ids_keys_weights_and_reasons_follow_the_samples():
    """Keys keep all their 63 bits."""
    samples = [sample(2**62 + 1), sample(5)._replace(weight=0.0, skipped="broken")]

    batch = collate(samples, SPEC)

    assert batch.ids == [f"s{2**62 + 1}", "s5"]
    assert batch.keys.tolist() == [2**62 + 1, 5]
    assert batch.weight.tolist() == [1.0, 0.0]
    assert batch.skipped == [("s5", "broken")]


def test_a_missing_target_is_masked():
    """Its row stays in the batch."""
    target = collate([sample(0, label=None), sample(1)], SPEC).targets["label"]

    assert (target.values.tolist(), target.mask.tolist()) == ([0, 1], [False, True])


def test_signals_follow_the_order_of_the_spec():
    """The order of `modalities` in the config decides, everywhere."""
    assert list(collate([sample(0)], SPEC).signals) == ["text", "image", "audio", "frames"]
