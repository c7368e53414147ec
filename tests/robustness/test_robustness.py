"""`mmtrain robustness` end to end, on the tiny run: figures equal to whole evaluations, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mmtrain.cli import main
from mmtrain.contracts import Draw, Tokens
from mmtrain.data.builtin.three import BuiltinSource
from mmtrain.robustness.altered import AlteredData, Corruption
from mmtrain.robustness.bench import Bench
from mmtrain.robustness.explain import integrated_gradients
from mmtrain.trained import TrainedRun
from tests.tiny import train

QUICK = ("levels=.5,1", "rates=.5", "permutations=2", "corruptions=text.drop,image.blur,audio.clipping", "examples=2")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Where the tiny run lies, and one of pictures alone."""
    folder = tmp_path_factory.mktemp("robustness")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))
        train(folder, "name=joint", "trainer.epochs=1")
        train(folder, "name=alone", "modalities=[image]", "trainer.epochs=1", "fusion=concat")
    return folder / "outputs"


@pytest.fixture(scope="module")
def joint(outputs):
    return next((outputs / "joint").iterdir())


@pytest.fixture(scope="module")
def alone(outputs):
    return next((outputs / "alone").iterdir())


@pytest.fixture(scope="module")
def bench(joint):
    return Bench(TrainedRun(joint), "test")


@pytest.fixture(scope="module")
def found(joint, alone, outputs):
    """What the command writes."""
    assert main(["robustness", str(joint), *QUICK, f"unimodal={alone}"]) == 0
    return json.loads((joint / "robustness.json").read_text(encoding="utf-8"))


class Blind:
    """The built-in rows without some modalities."""

    def __init__(self, *hidden: str) -> None:
        self._rows, self._hidden = BuiltinSource(train_rows=72, val_rows=72, test_rows=72), hidden

    def __getattr__(self, name):
        return getattr(self._rows, name)

    def present(self, row, name):
        return name not in self._hidden and self._rows.present(row, name)

    def cell(self, row, name):
        return self._rows.cell(row, name) if self.present(row, name) else None


def test_the_clean_score_is_that_of_evaluate(bench, joint):
    assert bench.score == TrainedRun(joint).evaluate("test")["accuracy"]


@pytest.mark.parametrize("seen", ["text", "image", "text+audio"])
def test_a_subset_scores_as_data_that_lack_the_others(seen, found, joint):
    """Tokens that were kept and masked give what a table without those columns does."""
    trained = TrainedRun(joint)
    hidden = {"text", "image", "audio"} - set(seen.split("+"))
    results, _ = trained.results(Blind(*hidden), "test")

    assert found["subsets"][seen] == trained.task.metrics(results)["accuracy"]


def test_lending_a_row_its_own_modality_changes_nothing(bench):
    assert bench.lent("image", {}) == bench.score


def test_rows_that_swap_their_texts_answer_otherwise_and_no_others_do(bench):
    ids = bench.clean.ids
    swap = {ids[0]: ids[1], ids[1]: ids[0]}
    seen = []
    model = bench.trained.model
    keep = model.head.register_forward_hook(lambda module, given, outputs: seen.append(outputs))
    try:
        bench.lent("text", swap)
    finally:
        keep.remove()

    changed = torch.cat(seen)
    assert not torch.allclose(changed[0], bench.clean.tensor[0])
    assert torch.allclose(changed[2:], bench.clean.tensor[2:], atol=1e-5)


def test_a_corruption_reaches_its_own_modality_only(bench):
    """Of the others nothing is read, but their lengths are right; equal ids meet equal noise, in any order."""
    rows = [Draw(row, 0) for row in bench.rows[:3]]
    view = AlteredData.of(bench.data, bench._memory.blank, corruption=Corruption("image", "gaussian"), level=0.5)
    samples, again = view.samples(rows, train=False), view.samples(rows[::-1], train=False)[::-1]

    for row, one, other in zip(rows, samples, again, strict=True):
        clean = {name: bench.data.read(row.row, name) for name in ("text", "image", "audio")}
        assert not one.values["text"].any()
        assert not one.values["audio"].any()
        assert [v.shape for v in one.values.values()] == [clean[name].shape for name in one.values]
        assert torch.equal(one.values["image"], other.values["image"])
        assert not torch.equal(one.values["image"], clean["image"])


def test_level_zero_scores_as_clean_data(bench):
    for corruption in (Corruption("text", "typos"), Corruption("image", "blur"), Corruption("audio", "noise")):
        assert bench.corrupted(corruption, 0.0, {}) == bench.score


def test_the_model_is_still_in_evaluation_mode(bench):
    bench.without(lambda row, present: frozenset(present[:1]))

    assert not bench.trained.model.training


def test_shapley_shares_add_up(found):
    assert sum(found["shapley"].values()) == pytest.approx(found["score"] - found["nothing"], abs=1e-12)


def test_curves_begin_at_the_clean_score(found):
    assert found["levels"] == [0, 0.5, 1]
    assert list(found["curves"]) == ["text.drop", "image.blur", "audio.clipping"]
    for curve in [*found["curves"].values(), found["missing"]]:
        assert curve["scores"][0] == found["score"]
        assert curve["worst"] == min(curve["scores"])


def test_a_model_of_one_modality_is_compared_with_a_probe(found, alone):
    one = found["unimodal"]["image"]

    assert one["alone"] == TrainedRun(alone).evaluate("test")["accuracy"]
    assert one["gap"] == one["alone"] - one["probe"]
    assert 0 <= one["probe"] <= 1


def test_the_page_shows_words_pictures_and_sounds(found, joint):
    page = (joint / "robustness.html").read_text(encoding="utf-8")

    assert page.count("data:image/png;base64,") == len(found["examples"]) == 2
    assert page.count("<polyline") == 3 + 1 + 2  # curves, missing rates, sounds
    assert "http://" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_attributions_add_up_to_the_change_of_the_output(found):
    """Integrated gradients are complete; the rest is of the steps of the path."""
    for one in found["examples"].values():
        total = sum(value for values in one["tokens"].values() for value in values)
        assert total + one["missing"] == pytest.approx(one["change"], abs=1e-5)
        assert abs(one["missing"]) < 0.02 + 0.02 * abs(one["change"])


class Line:
    """A model whose output is 3 times the sum of text and minus that of image."""

    def join(self, tokens):
        return 3 * tokens["text"].values.sum(dim=(1, 2)) - tokens["image"].values.sum(dim=(1, 2))

    def read(self, fused, batch):
        return fused.unsqueeze(1)


def test_attributions_of_a_line_by_hand(bench):
    """Tokens of width 1: 3 * (2 - 1) and 3 * (5 - 1) for the words; the padding none; -(4 - 2) for the picture."""
    batch = type("Row", (), {"weight": torch.ones(1)})()
    tokens = {
        "text": Tokens(torch.tensor([[[2.0], [5.0], [9.0]]]), torch.tensor([[True, True, False]])),
        "image": Tokens(torch.tensor([[[4.0]]]), torch.tensor([[True]])),
    }
    start = {"text": torch.tensor([1.0]), "image": torch.tensor([2.0])}

    parts, change = integrated_gradients(Line(), batch, tokens, start, 0)

    assert parts["text"].tolist() == pytest.approx([3, 12, 0])
    assert parts["image"].tolist() == pytest.approx([-2])
    assert change == pytest.approx(13)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["split=tets"], "`split=tets`: the data has train, val, test"),
        (["levels=0.5,2"], "`levels=0.5,2`: expected numbers above 0 to 1"),
        (["levels="], "`levels=`: expected numbers above 0 to 1"),
        (["rates=-1", "permutations=1"], "`permutations=1`: expected a whole number, 2 or more"),
        (["corruptions=image.blurr"], "Did you mean `image.blur`?"),
        (["corruptions=haze"], "There are text.typos, text.drop, image.gaussian"),
        (["contribution=no"], "expected true or false"),
        (["permutation=3"], "Did you mean `permutations`?"),
        (["unimodal=nowhere"], "nowhere"),
        (["unimodal=last", "contribution=false"], "leave out contribution=false"),
    ],
)
def test_bad_input_is_told_in_a_line(words, told, joint, capsys):
    assert main(["robustness", str(joint), *words]) == 2
    assert told in capsys.readouterr().err


def test_a_model_of_several_modalities_is_no_unimodal_one(joint, capsys):
    assert main(["robustness", str(joint), *QUICK, f"unimodal={joint}"]) == 2
    assert "reads text, image, audio; expected one of text, image, audio alone" in capsys.readouterr().err


def test_one_modality_alone_has_curves_and_no_subsets(alone, capsys):
    assert main(["robustness", str(alone), "levels=1", "corruptions=blur", "permutations=2", "rows=20"]) == 0

    told = capsys.readouterr().out
    assert "20 rows of test" in told
    assert "missing with a probability" not in told
    found = json.loads((alone / "robustness.json").read_text(encoding="utf-8"))
    assert list(found["subsets"]) == ["image"]
    assert found["missing"] is None


@pytest.fixture
def prices(tmp_path):
    """A table whose target is a number, and a run on it that is judged by an error."""
    lines = ["text,size,price,split"]
    for number in range(60):
        split = "test" if number % 3 == 0 else "val" if number % 3 == 1 else "train"
        lines.append(f"{'big' if number % 2 else 'small'} house,{number},{number % 2 * 100 + number},{split}")
    table = tmp_path / "prices.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return train_prices(tmp_path, table)


def train_prices(tmp_path: Path, table: Path) -> Path:
    columns = "dataset.columns={text: [text], tabular: [size]}"
    words = ["dataset=table", f"dataset.path={table}", "dataset.target=price", columns, "task=regression"]
    small = ["encoder/text=bag_of_words", "width=8", "trainer.epochs=1", "trainer.tensorboard=false", "num_threads=1"]
    assert main([*words, *small, f"output_dir={tmp_path}/outputs"]) == 0
    return next((tmp_path / "outputs" / "train").iterdir())


def test_an_error_is_worse_where_it_is_greater(prices, capsys):
    """Of a regression the worst subset has the greatest error, and nothing is corrected for chance."""
    assert main(["robustness", str(prices), "levels=1", "permutations=2", "examples=1", "rates=.5"]) == 0

    told = capsys.readouterr().out
    found = json.loads((prices / "robustness.json").read_text(encoding="utf-8"))
    assert "less is better" in told
    assert found["chance"] is None
    assert found["subsets"][found["worst_subset"]] == max(found["subsets"].values())
    assert sum(found["shapley"].values()) == pytest.approx(found["nothing"] - found["score"])
    shutil.rmtree(prices)


def test_a_task_sees_the_masks_of_what_the_model_gets(bench):
    """A detector reads the masks of its frames, retrieval who has both: those of hidden and lent samples are right."""
    draw, blank = Draw(bench.rows[0], 0), bench._memory.blank
    first, other = bench.clean.ids[:2]
    hidden = AlteredData.of(bench.data, blank, absent=lambda row, present: frozenset(present) - {"text"})
    lent = AlteredData.of(bench.data, blank, lent={"audio": {first: other}})

    assert [name for name, value in hidden.samples([draw], False)[0].values.items() if value is not None] == ["text"]
    assert len(lent.samples([draw], False)[0].values["audio"]) == len(bench.data.read(bench.rows[1], "audio"))
