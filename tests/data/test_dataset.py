"""Readers and targets are fitted on the training rows; what the rows do not bear out is refused, naming them."""

import pytest
import torch

from mmtrain.contracts import DataSpec, Draw, SignalSpec
from mmtrain.data.dataset import Data
from mmtrain.data.readers.text import TextReader
from mmtrain.data.targets.kinds import target_reader
from mmtrain.errors import CheckpointError, ConfigError, DataError
from mmtrain.target import TargetSpec


class NumberReader:
    """Reads `b"3"` as [3.0]."""

    kind = "number"

    def __init__(self, name):
        self.name = name

    def fit(self, cells):
        return SignalSpec(self.name, self.kind, shape=(len([int(cell) for cell in cells]),))

    def restore(self, spec):
        if spec.shape == (0,):
            raise ValueError("shape [0] is empty")

    def decode(self, cell):
        return torch.tensor([float(cell)])

    def finish(self, values):
        return values


def shift(spec):
    """An augmentation: the key decides what is added."""
    return lambda values, key: values + key % 1000


def add_100(spec):
    return lambda values, key: values + 100


ROWS = [
    {"text": "a b", "size": b"1", "label": "x"},
    {"text": "b", "size": None, "label": "y"},
    {"text": "only here", "size": b"2", "label": "x", "split": "val"},
    {"text": None, "size": b"3", "label": "y", "split": "test"},
]
KINDS = {"text": "text", "size": "number"}
READERS = {"text": TextReader, "size": NumberReader}


@pytest.fixture
def prepare(make_source):
    def prepare(rows=ROWS, *, kinds=KINDS, modalities=None, readers=READERS, targets=None, **options):
        wanted = {"label": "class"} if targets is None else targets
        read = {name: target_reader(kind, name) for name, kind in wanted.items()}
        source = make_source(rows, kinds)
        return Data.prepare(source, readers=readers, modalities=modalities, targets=read, **options)

    return prepare


@pytest.fixture
def restore(make_source):
    def restore(rows, *, kinds=KINDS, spec=None, targets=("label",)):
        read = {"label": target_reader("class", "label")} if spec is None else {}
        return Data.restore(make_source(rows, kinds, targets), readers=READERS, targets=read, spec=spec or SPEC)

    return restore


SPEC = DataSpec(
    signals={
        "text": SignalSpec("text", "text", length=8, vocabulary=("<pad>", "<unknown>", "b", "a")),
        "size": SignalSpec("size", "number", shape=(1,)),
    },
    targets={"label": TargetSpec("label", "class", ("x", "y"), (1, 1))},
)


def written(sample):
    """The class of a sample of one row; None where it has none."""
    (number,), (present,) = sample.targets["label"].values.tolist(), sample.targets["label"].mask.tolist()
    return number if present else None


def test_only_training_rows_are_learned_from(prepare):
    """Words, numbers and counts of validation and test stay unknown."""
    spec = prepare().spec

    assert spec.signals["text"].vocabulary == ("<pad>", "<unknown>", "b", "a")
    assert spec.signals["size"].shape == (1,)
    assert spec.targets["label"] == TargetSpec("label", "class", ("x", "y"), (1, 1))
    assert spec.ceilings == {"text": 0.5}


def test_a_sample_holds_what_its_row_has(prepare):
    """Present modalities are read, an absent one is None, the label is a number."""
    sample = prepare().samples([Draw(1, key=7, weight=0.0)], train=False)[0]

    assert sample.id == "s1"
    assert sample.values["text"].tolist() == [2]
    assert sample.values["size"] is None
    assert (sample.key, sample.weight, sample.skipped) == (7, 0.0, None)
    assert written(sample) == 1


def test_augmentation_follows_from_the_draw(prepare):
    """The same draw gives the same sample, another key another; evaluation gives the plain one."""
    data = prepare(augments={"size": shift})

    def size(key, train=True):
        return data.samples([Draw(0, key)], train)[0].values["size"].item()

    assert size(5) == size(5)
    assert size(5) != size(6)
    assert size(5, train=False) == size(6, train=False) == 1.0


def test_what_a_reader_draws_comes_before_augmentation(prepare):
    """In training the reader doubles 1 and the augmentation adds 100."""

    class DoublingReader(NumberReader):
        def vary(self, values, key):
            return values * 2

    data = prepare(readers={"text": TextReader, "size": DoublingReader}, augments={"size": add_100})

    assert data.samples([Draw(0, 5)], train=True)[0].values["size"].item() == 102
    assert data.samples([Draw(0, 5)], train=False)[0].values["size"].item() == 1


def test_modalities_are_chosen_in_the_order_of_the_config(prepare):
    """None means all that the data has, in its order."""
    assert list(prepare().spec.signals) == ["text", "size"]
    assert list(prepare(modalities=["size", "text"]).spec.signals) == ["size", "text"]
    assert list(prepare(modalities=["text"], readers={"text": TextReader}).spec.signals) == ["text"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": ["txt"]}, r"no 'txt' in the data; it has text, size\. Did you mean `text`\?"),
        ({"modalities": []}, "`modalities` is empty; the data has text, size"),
        ({"modalities": ["text", "text"]}, "names one twice"),
        ({"kinds": {}}, "the data has none"),
        ({"readers": {"text": TextReader}}, "modality `size` has no reader"),
        ({"readers": {"text": NumberReader, "size": NumberReader}}, r"`reader\.text` reads number, but `text` is text"),
        ({"targets": {"lable": "class"}}, r"the target `lable`; the data has label\. Did you mean `label`\?"),
    ],
)
def test_a_config_that_does_not_fit_the_data_is_refused(prepare, options, message):
    """With what there is, and what was probably meant."""
    with pytest.raises(ConfigError, match=message):
        prepare(**options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({0: {"size": None}}, "`size` is missing in all 2 training rows"),
        ({1: {"label": None}, 3: {"label": None}}, "2 of 4 rows have no `label`: rows:1, rows:3"),
        ({3: {"label": "z"}}, r"rows:3: label 'z' is none of the 2 classes of `label`\. 1 such rows; mend"),
        ({1: {"label": "x"}}, "needs two classes at least"),
        ({0: {"size": b"?"}}, r"rows:0 \(size\): invalid literal"),
        ({0: {"text": "!"}, 1: {"text": "?"}}, "`text`: no word occurs"),
        ({0: {"split": "val"}, 1: {"split": "val"}}, r"no training rows; the splits are val, test \(given\)"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused(prepare, changes, message):
    """Before the first step, naming the rows."""
    rows = [row | changes.get(number, {}) for number, row in enumerate(ROWS)]

    with pytest.raises(DataError, match=message):
        prepare(rows)


def test_the_faults_of_all_columns_are_told_at_once(prepare):
    """A line each: a text without a word, a size that is nowhere, a blank label."""
    rows = [row | {"text": "?", "size": None} for row in ROWS[:2]] + [{"text": "a", "split": "val"}]

    with pytest.raises(DataError) as told:
        prepare(rows)

    assert [line.split(":")[0] for line in str(told.value).splitlines()] == [
        "`text`",
        "`size` is missing in all 2 training rows; leave it out of `modalities`.",
        "1 of 3 rows have no `label`",
    ]


def test_of_many_rows_the_first_five_are_named(prepare):
    """The count tells the rest."""
    rows = [{"text": "a", "label": label} for label in ["x", "y", *[None] * 7]]

    with pytest.raises(DataError, match=r"7 of 9 .*: rows:2, rows:3, rows:4, rows:5, rows:6 and 2 more; "):
        prepare(rows, kinds={"text": "text"})


def test_a_bad_cell_is_named(prepare):
    """File, row and modality, and what the reader found."""
    rows = [*ROWS[:2], ROWS[2] | {"size": b"?"}, ROWS[3]]

    with pytest.raises(DataError, match=r"^rows:2 \(size\): could not convert string to float: b'\?'; mend the file"):
        prepare(rows).samples([Draw(2, 0)], train=False)[0]


def test_a_bad_cell_can_be_skipped(prepare):
    """Its whole row counts for nothing and says why."""
    rows = [*ROWS[:2], ROWS[2] | {"size": b"?"}, ROWS[3]]

    sample = prepare(rows, on_bad_sample="skip").samples([Draw(2, key=9)], train=False)[0]

    assert sample.values == {"text": None, "size": None}
    assert written(sample) is None
    assert (sample.key, sample.weight) == (9, 0.0)
    assert sample.skipped.startswith("rows:2 (size): ")


def test_a_file_that_cannot_be_opened_is_a_bad_cell(prepare, monkeypatch):
    """A disk that loses a file during training does not end in a traceback."""
    data = prepare()

    def gone(row, name):
        raise FileNotFoundError("no such file")

    monkeypatch.setattr(data.source, "cell", gone)

    with pytest.raises(DataError, match=r"rows:0 \(text\): no such file"):
        data.samples([Draw(0, 0)], train=True)[0]


def test_missing_shares_are_told_by_split(prepare):
    """Half of the training rows lack a size, the test row lacks its text."""
    assert prepare().missing() == {
        "train": {"text": 0.0, "size": 0.5},
        "val": {"text": 0.0, "size": 0.0},
        "test": {"text": 1.0, "size": 0.0},
    }


def test_restored_data_reads_by_the_stored_spec(restore):
    """Ids and classes are those of the run, whatever the new rows hold."""
    data = restore([{"text": "a new b", "size": b"4", "label": "y"}])

    sample = data.samples([Draw(0, 0)], train=False)[0]

    assert data.spec is SPEC
    assert sample.values["text"].tolist() == [3, 1, 2]
    assert written(sample) == 1


def test_restored_data_may_lack_modalities_and_targets(restore):
    """A column left out is an absent modality, a missing label is None: prediction needs neither."""
    data = restore([{"size": b"4"}], kinds={"size": "number"}, targets=())

    sample = data.samples([Draw(0, 0)], train=False)[0]

    assert sample.values["text"] is None
    assert written(sample) is None
    assert data.missing() == {"train": {"text": 1.0, "size": 0.0}}


@pytest.mark.parametrize(
    ("rows", "kinds", "message"),
    [
        ([{"photo": b""}], {"photo": "image"}, "none of the modalities text, size is there; found photo"),
        ([{"text": b""}], {"text": "image"}, "`text` is image here; the model was trained on text"),
        ([{"text": "a", "label": "z"}], {"text": "text"}, "rows:0: label 'z' is none of the 2 classes"),
    ],
)
def test_rows_that_do_not_fit_the_stored_spec_are_refused(restore, rows, kinds, message):
    """Before anything is computed."""
    with pytest.raises(DataError, match=message):
        restore(rows, kinds=kinds)


def test_a_spec_that_a_reader_cannot_take_is_refused(restore):
    """It belongs to another run, or has been changed."""
    broken = DataSpec({"size": SignalSpec("size", "number", shape=(0,))}, {})

    with pytest.raises(CheckpointError, match=r"does not fit `reader\.size`: shape \[0\] is empty"):
        restore([{"size": b"1"}], kinds={"size": "number"}, spec=broken)
