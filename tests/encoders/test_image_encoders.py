"""The encoders of pictures: their sizes, their grids, and the weights of ResNet-18."""

from __future__ import annotations

import urllib.error
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2, resnet18

from mmtrain import weights
from mmtrain.contracts import Signal, SignalSpec, Tokens
from mmtrain.encoders.conv2 import Conv2
from mmtrain.encoders.convnet import ConvNet
from mmtrain.encoders.resnet import ResNet18
from mmtrain.encoders.timm_image import TimmImage
from mmtrain.encoders.torchvision_image import TorchvisionImage
from mmtrain.encoders.vit import ViT
from tests import tiny


def picture(channels: int, height: int, width: int) -> SignalSpec:
    return SignalSpec("image", "image", shape=(channels, height, width))


def look(module: nn.Module, spec: SignalSpec) -> Tokens:
    values = torch.randn(2, *spec.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return module.eval()(Signal(values, torch.ones(2, 1, dtype=torch.bool)))


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("side", "grid"), [(1, 1), (16, 2), (28, 4), (32, 4), (33, 3), (64, 4), (224, 4)])
def test_convnet_gives_few_tokens_at_any_size(side: int, grid: int):
    spec = picture(1, side, side)

    assert look(ConvNet(spec), spec).values.shape == (2, grid * grid, 128)


def test_convnet_has_the_parameters_of_its_formula():
    """3x3 filters without bias and two numbers a channel of batch norm."""
    assert size(ConvNet(picture(3, 16, 16), channels=(4, 6))) == 9 * (3 * 4 + 4 * 6) + 2 * (4 + 6)


def test_convnet_tokens_know_their_place():
    """4x2 cells of a picture twice as high as wide: the last is centred at 7/8 and 3/4."""
    spec = picture(3, 32, 16)
    tokens = look(ConvNet(spec), spec)

    assert tokens.positions.shape == (2, 8, 3)
    torch.testing.assert_close(tokens.positions[1, -1, 1:], torch.tensor([0.875, 0.75]))


@pytest.mark.parametrize("channels", [(), (16, 0)])
def test_convnet_refuses_stages_without_channels(channels: tuple[int, ...]):
    with pytest.raises(ValueError, match="must list one positive number a stage"):
        ConvNet(picture(3, 16, 16), channels=channels)


@pytest.mark.parametrize(("pool", "features"), [(2, 64 * 4 * 5), (1, 64 * 16 * 18)])
def test_conv2_has_the_parameters_of_its_formula(pool: int, features: int):
    """Two convolutions of 32 and 64 filters, then `hidden_size` numbers for each feature."""
    module = Conv2(picture(3, 16, 18), pool=pool, hidden_size=7)

    assert size(module) == (27 * 32 + 32) + (9 * 32 * 64 + 64) + (features * 7 + 7)


def test_conv2_refuses_to_explode():
    with pytest.raises(ValueError, match=r"flattens 64x64 pictures to 262,144 features, over `max_features`"):
        Conv2(picture(3, 64, 64), pool=1)


@pytest.mark.slow
def test_conv2_without_pooling_learns(tmp_path: Path):
    """300 steps over pictures and sentences, the picture flattened whole: the loss falls third by third."""
    run = tiny.train(
        tmp_path,
        "dataset.variant=text_image",
        "dataset.train_rows=720",
        "dataset.val_rows=20",
        "dataset.test_rows=20",
        "encoder/image=conv2",
        "encoder.image.pool=1",
        "trainer.epochs=9",
        "trainer.max_steps=300",
        "optimizer.lr=1e-3",
    )
    losses = [float(str(row["loss"])) for row in tiny.rows(run) if row["kind"] == "train"]
    first, second, third = (sum(losses[start : start + 100]) / 100 for start in (0, 100, 200))

    assert len(losses) == 300
    assert first > 1.2 * second > 1.2 * 1.2 * third


def test_resnet_is_that_of_torchvision_without_its_classifier():
    """11,689,512 parameters, less 512 x 1000 + 1000."""
    assert size(ResNet18(picture(3, 64, 64))) == 11_689_512 - 513_000


@pytest.mark.parametrize(("stem", "grid"), [("standard", 2), ("small", 8)])
def test_resnet_tokens_are_cells_of_32_or_8_pixels(stem: str, grid: int):
    spec = picture(3, 64, 64)

    assert look(ResNet18(spec, stem=stem), spec).values.shape == (2, grid * grid, 512)


def test_resnet_takes_the_weights_of_torchvision(tmp_path: Path):
    """With its weights, the mean of our tokens is what its classifier reads."""
    torch.manual_seed(0)
    theirs = resnet18().eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    spec = picture(3, 32, 40)
    values = torch.randn(2, 3, 32, 40)
    ours = ResNet18(spec, weights=str(tmp_path / "resnet18.pth")).eval()
    mean = ours(Signal(values, torch.ones(2, 1, dtype=torch.bool))).values.mean(dim=1)

    torch.testing.assert_close(theirs.fc(mean), theirs(values), rtol=1e-4, atol=1e-4)


def test_resnet_reads_grey_pictures_as_rgb():
    grey, colour = picture(1, 32, 32), picture(3, 32, 32)
    module = ResNet18(grey).eval()
    values, mask = torch.randn(1, 1, 32, 32), torch.ones(1, 1, dtype=torch.bool)

    assert module.state_dict().keys() == ResNet18(colour).state_dict().keys()
    assert torch.equal(module(Signal(values, mask)).values, module(Signal(values.expand(-1, 3, -1, -1), mask)).values)


def test_resnet_refuses_weights_of_another_stem(tmp_path: Path):
    torch.save(resnet18().state_dict(), tmp_path / "resnet18.pth")

    with pytest.raises(ValueError, match=r"'conv1.weight' has shape \(64, 3, 7, 7\), the model \(64, 3, 3, 3\)"):
        ResNet18(picture(3, 32, 32), stem="small", weights=str(tmp_path / "resnet18.pth"))


def test_resnet_names_the_key_of_weights_that_are_not_there():
    with pytest.raises(ValueError, match=r"`encoder.image.weights`: no file 'IMAGENET'; name one, IMAGENET1K_V1, or"):
        ResNet18(picture(3, 32, 32), weights="IMAGENET")


def test_resnet_says_in_one_line_that_the_network_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights.urllib.request, "urlopen", refuse)

    with pytest.raises(ValueError, match=r"`encoder.image.weights` .* or null for random weights\.$") as caught:
        ResNet18(picture(3, 32, 32), weights="IMAGENET1K_V1")
    assert "\n" not in str(caught.value)


def test_resnet_refuses_other_than_grey_or_colour():
    with pytest.raises(ValueError, match="reads pictures of 1 or 3 channels, but modality `image` has 4"):
        ResNet18(picture(4, 32, 32))


def test_vit_has_a_token_a_patch_and_fills_up_what_is_left():
    """10 x 13 pixels in patches of 4 are 3 x 4; a block of 12D² + 13D, a map of 48 numbers, D a place, and a norm."""
    spec = picture(3, 10, 13)
    module = ViT(spec, patch=4, hidden_size=8, num_layers=1, num_heads=2)

    assert look(module, spec).values.shape == (2, 12, 8)
    assert size(module) == (12 * 64 + 13 * 8) + 8 * 49 + 12 * 8 + 16


def test_torchvision_takes_its_weights_by_file(tmp_path: Path):
    """The mean of the tokens is what the classifier of MobileNetV2 reads."""
    torch.manual_seed(0)
    theirs = mobilenet_v2().eval()
    torch.save(theirs.state_dict(), tmp_path / "mobilenet.pth")
    values = torch.randn(2, 3, 32, 40)
    ours = TorchvisionImage(picture(3, 32, 40), name="mobilenet_v2", weights=str(tmp_path / "mobilenet.pth")).eval()
    mean = ours(Signal(values, torch.ones(2, 1, dtype=torch.bool))).values.mean(dim=1)

    torch.testing.assert_close(theirs.classifier(mean), theirs(values), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width"), [("swin_t", 768), ("vit_b_16", 768), ("shufflenet_v2_x0_5", 1024), ("regnet_y_400mf", 440)]
)
def test_torchvision_networks_of_other_families_give_maps(name: str, width: int):
    """Of 64 x 64 pixels 2 x 2 cells of 32 pixels, or 4 x 4 of 16."""
    tokens = look(TorchvisionImage(picture(3, 64, 64), name=name), picture(3, 64, 64))

    assert tokens.values.shape[1:] == (16 if name == "vit_b_16" else 4, width)


def test_torchvision_refuses_what_it_has_not_and_sizes_it_cannot_take():
    with pytest.raises(ValueError, match=r"`encoder.image.name`: no classifier 'resnet5'.* Did you mean `resnet50`"):
        TorchvisionImage(picture(3, 64, 64), name="resnet5")
    with pytest.raises(ValueError, match=r"alexnet cannot take pictures of 16 x 16 .*; set `reader.image.size`"):
        TorchvisionImage(picture(3, 16, 16), name="alexnet")
    with pytest.raises(ValueError, match="vit_b_16 reads square pictures"):
        TorchvisionImage(picture(3, 32, 64), name="vit_b_16")


def test_timm_leads_to_the_nearest_name():
    pytest.importorskip("timm", reason="timm is not installed")
    with pytest.raises(ValueError, match=r"timm has no model 'resnet1'.* Did you mean `resnet1"):
        TimmImage(picture(3, 64, 64), name="resnet1")


@pytest.mark.slow
def test_timm_vit_takes_any_size_and_loses_its_class_token():
    pytest.importorskip("timm", reason="timm is not installed")
    spec = picture(3, 32, 64)

    assert look(TimmImage(spec, name="vit_tiny_patch16_224"), spec).values.shape == (2, 2 * 4, 192)
