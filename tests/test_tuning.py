"""What is frozen, what LoRA adds, which rate each part of an encoder gets, and that a resume changes none of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmtrain import compose, training
from mmtrain.build import build, build_optimizer
from mmtrain.errors import ConfigError
from mmtrain.settings import TuningSettings
from mmtrain.tuning import blocks, depths, frozen_parts, multipliers, thaw, tune
from tests import tiny


class Network(nn.Module):
    """A stem of 3 numbers, three blocks of 2, a norm of 2 registered last."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(2, 1)
        self.layers = nn.ModuleList(nn.Linear(1, 1) for _ in range(3))
        self.norm = nn.LayerNorm(1)


def trained(module: nn.Module) -> list[str]:
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


def tuned(**settings: object) -> Network:
    network = Network()
    tune({"image": network}, TuningSettings(**{key: {"image": value} for key, value in settings.items()}))
    return network


def test_blocks_are_the_rows_of_alike_modules():
    network = Network()

    assert blocks(network) == list(network.layers)
    assert blocks(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.BatchNorm2d(1))) == []


def test_depth_counts_from_the_output():
    """The norm 0, the blocks 1, 2 and 3 from the last, the stem 4."""
    network = Network()
    deep = depths(network)

    assert [deep[id(p)] for p in network.parameters()] == [4, 4, 3, 3, 2, 2, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ("all", []),
        (2, ["layers.2.weight", "layers.2.bias", "norm.weight", "norm.bias"]),
        (r"weight$", ["stem.bias", "layers.0.bias", "layers.1.bias", "layers.2.bias", "norm.bias"]),
    ],
)
def test_freezing(what: object, left: list[str]):
    assert trained(tuned(freeze=what)) == left


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": {"image": 4}}, r"`tuning.freeze.image` \(=4\): the encoder has 3 blocks"),
        ({"freeze": {"image": "bn"}}, r"\(=bn\) matches no parameter; they are named like stem.weight, "),
        ({"freeze": {"image": "("}}, "is no regular expression"),
        ({"freeze": {"imgae": "all"}}, "`tuning.freeze.imgae`: expected one of image. Did you mean `image`"),
        ({"lr": {"fusoin": 2.0}}, "expected one of image, encoders, fusion, head. Did you mean `fusion`"),
        ({"unfreeze_at": {"image": 3}}, "image is not frozen; set `tuning.freeze` for it too"),
        ({"freeze": {"image": "all"}, "lora": {"image": 1}}, "leave image out of `tuning.freeze`"),
    ],
)
def test_what_cannot_be_tuned_is_told_in_one_line(settings: dict, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        tune({"image": Network()}, TuningSettings(**settings))
    assert "\n" not in str(caught.value)


def test_an_encoder_without_blocks_has_none_to_count():
    with pytest.raises(ValueError, match="has no row of alike blocks to count"):
        tune({"text": nn.LSTM(1, 1)}, TuningSettings(layer_decay={"text": 0.5}))


def test_a_frozen_encoder_trains_from_its_step_on():
    network = tuned(freeze="all")
    settings = TuningSettings(unfreeze_at={"image": 3})

    assert [thaw({"image": network}, settings, step) for step in (2, 3, 4)] == [False, True, False]
    assert len(trained(network)) == 10


def test_frozen_parts_are_the_largest():
    network = tuned(freeze=2)

    assert list(frozen_parts(network)) == [network.stem, network.layers[0], network.layers[1]]


def test_lora_starts_as_the_network_was_and_adds_rank_times_both_sides():
    """W = [[1, 2]], A = [[3, 4]], B = [[5]]: W + B A = [[16, 22]]; 3 numbers a stem of 2 to 1, 2 a block of 1 to 1."""
    network = tuned(lora=1)
    change = network.stem.parametrizations.weight[0]
    with torch.no_grad():
        network.stem.parametrizations.weight.original.copy_(torch.tensor([[1.0, 2.0]]))
        start = network.stem.weight.clone()
        change.down.copy_(torch.tensor([[3.0, 4.0]]))
        change.up.fill_(5)

    assert start.tolist() == [[1, 2]]
    assert network.stem.weight.tolist() == [[16, 22]]
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == 3 + 3 * 2


def test_lora_reaches_the_attention_of_torch():
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    tune({"text": layer}, TuningSettings(lora={"text": 1}))
    layer(torch.randn(1, 3, 4)).sum().backward()

    names = [name for name, p in layer.named_parameters() if p.grad is not None]
    assert [name for name in names if "in_proj" in name] == [
        "self_attn.parametrizations.in_proj_weight.0.down",
        "self_attn.parametrizations.in_proj_weight.0.up",
    ]
    assert len(names) == 8  # two numbers each for the attention, its output, and both layers after it


def test_rates_multiply_by_part_and_by_depth():
    """Encoders train at a tenth, their third block from the end at a tenth of 0.5 ** 3; the head at twice the rate."""
    model = nn.ModuleDict({"image": Network(), "fusion": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    settings = TuningSettings(lr={"encoders": 0.1, "head": 2.0}, layer_decay={"image": 0.5})
    rates = multipliers(model, {"image": model["image"]}, settings)

    assert rates[id(model["image"].layers[0].weight)] == pytest.approx(0.1 / 8)
    assert rates[id(model["image"].norm.weight)] == pytest.approx(0.1)
    assert rates[id(model["head"].weight)] == 2.0


FROZEN = ("tuning.freeze={image: all}", "tuning.unfreeze_at={image: 3}", "tuning.lr={head: 2, image: 0.5}")


def parts_of(tmp_path, *words: str):
    return build(tiny.config(tmp_path, *words))


def test_frozen_parts_of_a_model_stay_in_eval_mode(tmp_path):
    """So that the statistics of BatchNorm do not move; the optimizer knows what trains later."""
    parts = parts_of(tmp_path, *FROZEN)
    encoder = parts.model.encoders["image"]
    parts.model.eval().train()
    optimizer = build_optimizer(parts.config, parts.model)

    assert not any(module.training for module in encoder.modules())
    assert parts.model.encoders["text"].training
    held = {id(p): group["initial_lr"] for group in optimizer.param_groups for p in group["params"]}
    rate = parts.config["optimizer"]["lr"]
    assert {held[id(p)] for p in encoder.parameters()} == {0.5 * rate}
    assert {held[id(p)] for p in parts.model.head.parameters()} == {2 * rate}


def test_a_fault_names_the_key(tmp_path):
    with pytest.raises(ConfigError, match=r"^`tuning.freeze.image` \(=bm\) matches no parameter"):
        parts_of(tmp_path, "tuning.freeze={image: bm}")


def test_a_resumed_run_thaws_and_ends_equal_to_the_bit(tmp_path):
    """Eight steps, the encoder frozen for three of them; stopped after two and after five, and gone on with."""
    words = [*FROZEN, "tuning.lora={text: 2}", "encoder/text=transformer", "schedule=constant"]
    words += ["trainer.save_every_steps=3", "trainer.keep_last=9"]
    whole = tiny.train(tmp_path / "whole", *words)
    parted = tiny.train(tmp_path / "parted", *words, "trainer.max_steps=2")
    config = compose.load_run_config(parted)
    for steps in (5, None):
        training.resume(parted, {**config, "trainer": {**config["trainer"], "max_steps": steps}})

    first, third, last = (tiny.weights(whole, step) for step in (0, 3, 8))
    resumed = tiny.weights(parted, 8)
    assert last.keys() == resumed.keys()
    assert [name for name in last if not torch.equal(last[name], resumed[name])] == []
    name = next(name for name in first if name.startswith("model/encoders.image.") and name.endswith("weight"))
    assert torch.equal(first[name], third[name])
    assert not torch.equal(first[name], last[name])
