"""Networks of transformers from a local folder, and what is told where one cannot be had."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmtrain import hub
from mmtrain.contracts import DataSpec, Signal
from mmtrain.encoders.hugging_face_text import HuggingFaceText
from tests.components import SPECS

TINY = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 12,
    "max_position_embeddings": 8,
}
TEXT = replace(SPECS["text"], tokenizer="{}")  # twelve subwords of a tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as transformers saves it, its pooler included."""
    from transformers import BertConfig, BertModel

    made = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(5)
    BertModel(BertConfig(**{key: value for key, value in TINY.items() if key != "model_type"})).save_pretrained(made)
    return made


def test_a_text_encoder_answers_as_the_model_that_was_saved(folder: Path):
    from transformers import BertModel

    ids = torch.tensor([[2, 3, 4]])
    theirs = BertModel.from_pretrained(folder).eval()(input_ids=ids).last_hidden_state
    tokens = HuggingFaceText(TEXT, name=str(folder)).eval()(Signal(ids, ids > 0))
    pooled = HuggingFaceText(TEXT, name=str(folder), pooling="mean").eval()(Signal(ids, ids > 0))

    torch.testing.assert_close(tokens.values, theirs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(pooled.values[:, 0], theirs.mean(dim=1), rtol=1e-5, atol=1e-6)


def test_a_run_keeps_the_architecture_and_needs_the_folder_no_more(folder: Path, tmp_path: Path):
    entry = {"_target_": "x", "name": str(folder), "pretrained": True, "architecture": None}
    config = {"encoder": {"text": entry, "audio": {"name": "not/used", "architecture": None}}, "task": {}}

    kept = hub.settled(config, DataSpec({"text_2": replace(TEXT, name="text_2")}, {}))["encoder"]

    assert kept["audio"]["architecture"] is None
    assert TINY.items() <= kept["text"]["architecture"].items()
    again = HuggingFaceText(TEXT, name="gone", pretrained=False, architecture=kept["text"]["architecture"])
    assert again.load_state_dict(HuggingFaceText(TEXT, name=str(folder)).state_dict())


def test_random_weights_are_not_those_of_the_folder(folder: Path):
    torch.manual_seed(6)
    key = "network.embeddings.word_embeddings.weight"
    given, random = (HuggingFaceText(TEXT, name=str(folder), pretrained=on).state_dict()[key] for on in (True, False))

    assert not torch.equal(given, random)


def test_another_tokenizer_is_refused_with_both_sizes(folder: Path):
    with pytest.raises(ValueError, match="12 subwords, the reader of `text` 12 words of its own; read its own with"):
        HuggingFaceText(SPECS["text"], name=str(folder))
    with pytest.raises(ValueError, match=r"has 12 subwords, the reader of `text` 13; .*reader.text.tokenizer="):
        HuggingFaceText(replace(TEXT, vocabulary=(*TEXT.vocabulary, "z")), name=str(folder))


def test_longer_texts_than_there_are_positions_are_refused(folder: Path):
    with pytest.raises(ValueError, match=r"reads 8 subwords at most, but `reader.text.max_length` is 9; set it to 8"):
        HuggingFaceText(replace(TEXT, length=9), name=str(folder))


def test_weights_of_another_shape_are_refused_with_key_and_shapes(folder: Path, tmp_path: Path):
    changed = {**json.loads((folder / "config.json").read_text(encoding="utf-8")), "intermediate_size": 10}
    architecture = {key: value for key, value in changed.items() if key in TINY}
    message = r"`encoder.text.name` .*'encoder.layer.0.intermediate.dense.bias' has shape \(16,\), the model \(10,\)"

    with pytest.raises(ValueError, match=message):
        HuggingFaceText(TEXT, name=str(folder), architecture=architecture)


def test_a_mistyped_architecture_leads_to_the_nearest():
    with pytest.raises(ValueError, match=r"no architecture 'bertt' .* Did you mean `bert`"):
        HuggingFaceText(TEXT, name="x", pretrained=False, architecture={**TINY, "model_type": "bertt"})


@pytest.mark.usefixtures("threads_end")
@pytest.mark.parametrize("arguments", [{}, {"architecture": TINY}])
def test_without_a_network_a_name_of_the_hub_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, arguments: dict):
    """The key, what failed, what to do instead; after one try, whose patience is below two seconds."""

    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(ValueError, match=r"`encoder.text.name` \(=no/such\): .*; name a local folder") as caught:
        HuggingFaceText(TEXT, name="no/such", **arguments)
    assert "\n" not in str(caught.value)
    assert hub.PATIENCE < 2


@pytest.mark.usefixtures("threads_end")
def test_a_hub_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    over = threading.Event()

    def hang(*_: object, **__: object) -> None:
        over.wait()
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # read from the environment at its import
    monkeypatch.setattr(hub, "PATIENCE", 0.01)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(ValueError, match=r"no answer within 0.01 s"):
        hub.file("no/such", "config.json")
    over.set()
