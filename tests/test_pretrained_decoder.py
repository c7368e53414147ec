"""A pretrained language model as a decoder: one token at a time is all at once, and what does not fit is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mmtrain.cli import main
from mmtrain.pretrained_decoder import PretrainedDecoder
from mmtrain.target import TargetSpec
from mmtrain.tokenizer import END, START, Tokenizer
from tests.language_models import write_language_model
from tests.test_every_task import TINY

MASK = torch.tensor([[True, True, True], [True, False, True]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that has learned nothing."""
    path = tmp_path_factory.mktemp("models") / "small"
    write_language_model(path, ["a cat", "a dog"], steps=0)
    return path


def tokenizer(folder: Path) -> Tokenizer:
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    return Tokenizer(TargetSpec("says", "text", tokenizer=text, length=8))


def decoder(folder: Path, *, freeze: bool = True) -> PretrainedDecoder:
    return PretrainedDecoder(
        len(tokenizer(folder)), 8, name=str(folder), pretrained=True, architecture=None, freeze=freeze, length=9
    )


def test_texts_come_back_from_the_tokens_of_another(folder: Path) -> None:
    words = tokenizer(folder)

    assert words.decode([START, *words.encode("a cat, über"), END, 0, 0]) == "a cat, über"


def test_token_by_token_is_all_at_once(folder: Path) -> None:
    """The second row lacks a token of the three that are read: whatever lies there, and one place less is taken."""
    one = decoder(folder).eval()
    memory = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[START, *tokenizer(folder).encode("a cat")]] * 2)
    whole, _ = one(ids, one.read(memory, MASK), MASK)

    kept, steps, read = None, [], one.read(memory, MASK)
    for place in range(ids.shape[1]):
        scores, kept = one(ids[:, place : place + 1], read, MASK, kept)
        steps.append(scores)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole)

    changed = memory.clone()
    changed[1, 1] = 9.0
    torch.testing.assert_close(one(ids, one.read(changed, MASK), MASK)[0], whole)
    without = memory[1:, [0, 2]]
    torch.testing.assert_close(one(ids[1:], one.read(without, MASK[:1, :2]), MASK[:1, :2])[0], whole[1:])


@pytest.mark.parametrize("freeze", [True, False])
def test_the_projection_alone_trains_where_it_is_frozen(folder: Path, freeze: bool) -> None:
    one = decoder(folder, freeze=freeze).train()
    memory, ids = torch.randn(2, 3, 8), torch.tensor([[START, 10], [START, 11]])
    one(ids, one.read(memory, MASK), MASK)[0][..., END].sum().backward()

    with_gradient = {name.split(".")[0] for name, parameter in one.named_parameters() if parameter.grad is not None}
    assert with_gradient == ({"project"} if freeze else {"project", "network"})
    assert one.network.training is not freeze


def altered(folder: Path, tmp_path: Path, **values: object) -> Path:
    """The folder with other words in its config.json."""
    made = Path(shutil.copytree(folder, tmp_path / "altered"))
    config = json.loads((made / "config.json").read_text(encoding="utf-8"))
    (made / "config.json").write_text(json.dumps(config | values), encoding="utf-8")
    return made


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("nowhere", "no such folder"),
        ("no tokenizer", "holds tokenizer.json"),
        ("no weights", "no model.safetensors in this folder"),
        ("another vocabulary", "they are of two models"),
        ("no end", "names no `eos_token_id`"),
        ("no writer", "name a causal language model"),
        ("too short", "has 32 positions, too few for"),
    ],
)
def test_a_decoder_that_will_not_do_is_told_in_one_line(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"a {one},{one},{split}" for split in ("train", "val", "test") for one in ("cat", "dog")]
    Path("t.csv").write_text("\n".join(["says,text,split", *rows]), encoding="utf-8")
    changes = {
        "another vocabulary": {"vocab_size": 100},
        "no end": {"eos_token_id": None},
        "no writer": {"model_type": "vit"},
    }
    made = altered(folder, tmp_path, **changes.get(fault, {}))
    if fault == "no tokenizer":
        (made / "tokenizer.json").unlink()
    if fault == "no weights":
        (made / "model.safetensors").unlink()
    name = "nowhere/at/all" if fault == "nowhere" else str(made)
    length = 40 if fault == "too short" else 8

    code = main(
        [
            *TINY,
            "task=captioning",
            "dataset.target=says",
            "dataset.path=t.csv",
            f"task.decoder={name}",
            f"task.max_length={length}",
            f"task.pretrained={fault != 'another vocabulary'}",  # its weights would be refused first
        ]
    )

    told = capsys.readouterr().err.strip().splitlines()
    assert (code, len(told)) == (2, 1), told
    assert said in told[0]
    assert "decoder" in told[0]
