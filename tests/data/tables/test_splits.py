"""Splits: by column, at random by class, never through a group."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtrain.data.tables.splits import by_column, by_fold, by_time, classes_of, linked, rare, stratified
from mmtrain.seeding import key

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def test_common_names_of_splits_are_understood():
    """`dev` and `Validation` are val, whatever their capitals."""
    assert by_column(["TRAIN", "dev", "Validation", "testing", "train"]) == {
        "train": [0, 4],
        "val": [1, 2],
        "test": [3],
    }


def test_own_names_are_mapped():
    assert by_column(["fold1", "fold2", "fold1"], {"fold1": "train", "fold2": "val"}) == {"train": [0, 2], "val": [1]}


def test_an_unknown_name_is_told_with_its_count_and_the_option():
    with pytest.raises(ValueError, match=r"'tset' \(2 rows\); .*`dataset.split_names=\{'tset': test\}`"):
        by_column(["train", "tset", "tset"])


def test_a_blank_cell_is_an_unknown_split():
    with pytest.raises(ValueError, match=r"'' \(1 rows\)"):
        by_column(["train", ""])


def test_a_table_without_training_rows_is_refused():
    """The names that are there, and which of them is likely meant."""
    with pytest.raises(
        ValueError, match=r"no train rows, only dev \(1 rows\), test \(2 rows\); .*split_names=\{dev: train\}"
    ):
        by_column(["dev", "test", "test"])


def test_split_names_must_lead_to_a_split():
    with pytest.raises(ValueError, match="maps 'a' to 'validate'; expected train, val or test"):
        by_column(["a"], {"a": "validate"})


def test_every_class_is_divided_in_the_same_shares():
    """Of 100 cats and 50 dogs, 10 and 5 go to val, and as many to test."""
    labels = ["cat", "dog", "cat"] * 50
    splits = stratified(labels, SHARES, seed=0)
    for split, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        counts = Counter(labels[row] for row in splits[split])
        assert counts["cat"] == pytest.approx(100 * share, abs=1)
        assert counts["dog"] == pytest.approx(50 * share, abs=1)


def test_a_class_of_one_row_is_for_training():
    """A class that only val or test holds could never be learned."""
    labels = [*["common"] * 40, *[f"rare {number}" for number in range(10)]]
    splits = stratified(labels, SHARES, seed=0)
    assert {labels[row] for row in splits["val"] + splits["test"]} == {"common"}


def test_labels_that_are_all_different_are_no_classes():
    """Captions or measurements cannot be stratified; the rows are split all the same."""
    splits = stratified([str(number) for number in range(100)], SHARES, seed=0)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 80, "val": 10, "test": 10}


def test_the_seed_decides_the_split():
    labels = ["a", "b"] * 50
    assert (
        stratified(labels, SHARES, seed=1) == stratified(labels, SHARES, seed=1) != stratified(labels, SHARES, seed=2)
    )


def test_the_split_of_a_seed_never_changes():
    """Held fast, for a run that is resumed by a later version must find the same rows."""
    assert stratified(["a", "b"] * 10, SHARES, seed=0)["val"] == [0, 15]


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", *"uvwxyz"])), min_size=20, max_size=80),
    st.integers(0, 5),
)
def test_rows_are_divided_without_loss_and_groups_stay_whole(rows, seed):
    """Whatever the table: each row is in one split, equal groups are in one split, every class is in train."""
    rows = rows + [("a", "")] * 12  # so that however large the groups are, no split goes empty
    labels, groups = [label for label, _ in rows], [group for _, group in rows]
    splits = stratified(labels, {"train": 0.5, "val": 0.25, "test": 0.25}, seed=seed, groups=groups)
    assert sorted(row for split in splits.values() for row in split) == list(range(len(rows)))
    where = {row: name for name, split in splits.items() for row in split}
    for group in set(groups) - {""}:
        assert len({where[row] for row in range(len(rows)) if groups[row] == group}) == 1
    assert {labels[row] for row in splits["train"]} == set(labels)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.tuples(st.sampled_from("aabcde"), st.sampled_from(["", " ", *"vwxyz"])), min_size=3, max_size=60),
    st.sampled_from([SHARES, {"train": 0.9, "val": 0.1}, {"train": 0.3, "val": 0.4, "test": 0.3}]),
    st.booleans(),
    st.integers(0, 5),
)
def test_units_are_dealt_one_by_one(rows, shares, grouped, seed):
    """The splits are those of the plain loop that the docstring describes, whatever classes are rare or in a group."""
    labels, groups = [label for label, _ in rows], [group for _, group in rows] if grouped else None
    expected = plainly_dealt(labels, shares, seed, groups or [""] * len(rows))
    if all(expected.values()):
        assert stratified(labels, shares, seed=seed, groups=groups) == expected
    else:
        with pytest.raises(ValueError, match="are too few to split at random"):
            stratified(labels, shares, seed=seed, groups=groups)


def plainly_dealt(labels, shares, seed, groups):
    """One unit after another, with nothing known in advance."""
    labels = classes_of(labels) or [""] * len(labels)
    units: dict[object, list[int]] = {}
    for row, group in enumerate(groups):
        units.setdefault(group if group.strip() else row, []).append(row)
    few, divisible = rare(labels, len(shares)), set()
    splits: dict[str, list[int]] = {name: [] for name in shares}
    dealt = 0
    for unit in sorted(units.values(), key=lambda unit: (labels[unit[0]], key(seed, unit[0], "split"))):
        dealt += len(unit)
        classes = {labels[row] for row in unit}
        chosen = max(shares, key=lambda name: shares[name] * dealt - len(splits[name]))
        splits[chosen if classes <= divisible else "train"] += unit
        divisible |= classes - few.keys()
    return {name: sorted(rows) for name, rows in splits.items()}


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match=r"2 rows in 2 groups are too few .* none for val"):
        stratified(["a", "a"], SHARES, seed=0)


def test_a_class_with_fewer_rows_than_splits_is_for_training():
    """Two rows cannot be in three splits; with three each gets one."""
    labels = [*["common"] * 40, *["pair"] * 2, *["trio"] * 3]
    splits = stratified(labels, SHARES, seed=0)
    assert "pair" not in {labels[row] for row in splits["val"] + splits["test"]}
    assert rare(labels, 3) == {"pair": 2}
    assert rare(labels, 2) == {}


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["3", "1", "2"] * 9, True),
        (["1.0", "2.0"] * 9, True),
        (["1.5", "2", "2"] * 9, False),
        (["cat|dog", "cat", "cat"] * 9, False),
        (["[1, 2]", "[1]"] * 9, False),
        (["nan", "1.5"] * 9, True),
    ],
)
def test_measurements_and_lists_of_tags_are_no_classes(labels, classes):
    assert (classes_of(labels) is not None) == classes


def test_rows_are_linked_by_any_of_the_columns():
    """Row 0 and 2 share a picture, 2 and 3 a sound: all three go together; blank cells link nothing."""
    assert linked([["a", "b", "a", "c", ""], ["x", "y", "z", "z", ""]]) == ["0", "", "0", "0", ""]


def test_the_earliest_rows_train_and_the_latest_are_the_test():
    """Of ten rows eight train; rows of one moment are in one split."""
    shares = {"train": 0.8, "val": 0.1, "test": 0.1}
    assert by_time([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], shares) == {"train": list(range(2, 10)), "val": [1], "test": [0]}
    moments = [1, 1, 1, 2, 2, 2, 2, 2, 3, 4]
    assert by_time(moments, {"train": 0.5, "test": 0.5}) == {"train": [0, 1, 2], "test": [3, 4, 5, 6, 7, 8, 9]}


def test_too_few_moments_are_refused():
    with pytest.raises(ValueError, match="2 distinct times are too few to split by time: no rows for val"):
        by_time([1, 1, 2, 2], SHARES)


def test_a_fold_is_the_test_and_the_next_one_validates():
    """After the last comes the first; ten follows nine, not one."""
    folds = ["1", "2", "10", "9", "2"]
    assert by_fold(folds, None) == {"train": [2, 3], "val": [1, 4], "test": [0]}
    assert by_fold(folds, "9") == {"train": [0, 1, 4], "val": [2], "test": [3]}
    assert by_fold(folds, "10") == {"train": [1, 3, 4], "val": [0], "test": [2]}
    assert by_fold(["a", "b", "b"], "b") == {"train": [0], "test": [1, 2]}
    assert by_fold(folds, "9", val=False) == {"train": [0, 1, 2, 4], "test": [3]}


@pytest.mark.parametrize(
    ("folds", "fold", "message"),
    [
        (["1", "2"], "3", r"`dataset.fold` \(=3\) is none of the folds 1, 2"),
        (["1", ""], None, "1 rows have no fold"),
        (["1", "1"], None, "holds '1' only"),
    ],
)
def test_folds_that_cannot_be_used_are_refused(folds, fold, message):
    with pytest.raises(ValueError, match=message):
        by_fold(folds, fold)
