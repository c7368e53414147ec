"""Speech recognition: the loss is that of all alignments, scores are those of jiwer, and there must be room."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from mmtrain.contracts import Batch, DataSpec, Fused, Results, Signal, SignalSpec, Tokens
from mmtrain.target import Target, TargetSpec
from mmtrain.tasks.speech_recognition import CTCHead, SpeechRecognition
from mmtrain.tokenizer import SPECIAL, UNKNOWN

LETTERS = TargetSpec("text", "text", tokenizer="characters", vocabulary=(*SPECIAL, "a", "b", " "), length=9)
SOUND = SignalSpec("audio", "audio", length=100, sample_rate=100)
SPEC = DataSpec({"image": SignalSpec("image", "image"), "audio": SOUND}, {"text": LETTERS})
A, B, BLANK = 4, 5, 6


def batch(texts: list[list[int]], steps: list[int]) -> Batch:
    mask = torch.tensor([bool(text) for text in texts])
    words = [("".join("ab "[number - A] for number in text),) for text in texts]
    target = Target([torch.tensor(text, dtype=torch.int64) for text in texts], mask, words)
    heard = torch.arange(max(steps)) < torch.tensor(steps).unsqueeze(1)
    count = len(texts)
    signals = {"audio": Signal(torch.zeros(heard.shape), heard)}
    return Batch(signals, {"text": target}, [""] * count, torch.zeros(count), torch.ones(count), {})


def outputs(paths: list[list[int]], *, sure: float = 50.0) -> dict[str, torch.Tensor]:
    """Logits that say one label a step; 0 is the blank, 1 is a."""
    longest = max(map(len, paths))
    mask = torch.tensor([[at < len(path) for at in range(longest)] for path in paths])
    padded = torch.tensor([[*path, *[0] * (longest - len(path))] for path in paths])
    return {"logits": torch.nn.functional.one_hot(padded, 4) * sure, "mask": mask}


def test_the_loss_sums_over_alignments_by_hand() -> None:
    """Even odds of 4 labels, "a" in two steps: a-, -a, aa of 16 paths, so log(16/3); "ab": one path, log(16) / 2."""
    task, rows = SpeechRecognition(SPEC), batch([[A], [A, B]], [2, 2])
    even = {"logits": torch.zeros(2, 2, 4), "mask": torch.ones(2, 2).bool()}

    assert task.weight(rows) == 2.0
    assert task.loss(even, rows).item() == pytest.approx(math.log(16 / 3) + math.log(16) / 2)


def test_a_word_that_training_lacks_is_left_out_of_what_is_learned_and_is_an_error() -> None:
    """ "yes no" of which "no" is unknown, in two even steps of two labels: y-, -y, yy of 4 paths; one of two words."""
    words = TargetSpec("text", "text", tokenizer="words", vocabulary=(*SPECIAL, "yes"), length=9)
    task = SpeechRecognition(DataSpec({"audio": SOUND}, {"text": words}), tokenizer="words")
    target = Target([torch.tensor([A, UNKNOWN])], torch.tensor([True]), [("yes no",)])
    rows = replace(batch([[A, B]], [2]), targets={"text": target})
    even = {"logits": torch.zeros(1, 2, 2), "mask": torch.ones(1, 2).bool()}

    assert task.loss(even, rows).item() == pytest.approx(math.log(4 / 3) / 2)
    results = Results(["1"], {"text": ["yes"], "log_probability": torch.zeros(1)}, {"text": target}, 0.0)
    assert task.metrics(results)["wer"] == 0.5


def test_rows_without_sound_transcript_or_room_count_nothing() -> None:
    """The second has no transcript, the third no sound, the fourth one step for two letters."""
    task, rows = SpeechRecognition(SPEC), batch([[A], [], [B], [A, B]], [2, 2, 0, 1])
    mask = torch.tensor([[True, True], [True, True], [False, False], [True, False]])
    logits = torch.zeros(4, 2, 4, requires_grad=True)
    loss = task.loss({"logits": logits, "mask": mask}, rows)
    loss.backward()

    assert loss.item() == pytest.approx(math.log(16 / 3))
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[1:].any()
    assert task.weight(rows) == 2.0


@pytest.mark.parametrize("beam_size", [1, 8])
def test_texts_come_from_the_steps_that_are_there(beam_size: int) -> None:
    """a a - a b reads "aab"; a row without sound says nothing, of log-probability 0."""
    task, rows = SpeechRecognition(SPEC, beam_size=beam_size), batch([[A], [A], [A]], [5, 2, 0])
    found = task.collect(outputs([[1, 1, 0, 1, 2], [2, 3], []]), rows)

    assert found["text"] == ["aab", "b ", ""]
    assert found["log_probability"].tolist() == pytest.approx([0.0] * 3, abs=1e-5)


def test_error_rates_are_those_of_all_words_and_characters() -> None:
    """ "a b" read as "a", "ab" as "ab": one of three words, two of five characters; one row of two is right."""
    task, rows = SpeechRecognition(SPEC), batch([[A, BLANK, B], [A, B], []], [5, 5, 5])
    results = Results(["1", "2", "3"], task.collect(outputs([[1], [1, 2], [1]]), rows), rows.targets, 0.0)

    assert task.metrics(results) == pytest.approx({"wer": 1 / 3, "cer": 2 / 5, "exact_match": 0.5})
    assert task.table(results)["prediction"] == ["a", "ab", "a"]


def test_the_fused_vector_helps_from_nothing_on() -> None:
    """At first another vector changes no logit; its weights get a gradient."""
    torch.manual_seed(0)
    head = CTCHead(8, 4, anchor="audio", dropout=0.0)
    values, mask = torch.randn(2, 5, 8), torch.ones(2, 5).bool()
    spans = {"image": slice(0, 1), "audio": slice(1, 5)}
    one, other = (
        head(Fused(pooled, Tokens(values, mask), spans, {}, mask[:, :2]))
        for pooled in (torch.zeros(2, 8), torch.ones(2, 8))
    )
    assert one["logits"].shape == (2, 4, 4)
    assert torch.equal(one["logits"], other["logits"])
    other["logits"].sin().sum().backward()
    assert head.context.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("signals", "anchor", "message"),
    [
        (("image",), None, "`anchor` is null; it must be the modality to write down: the sounds are none, of image"),
        (("audio", "audio_2"), None, "the sounds are audio, audio_2"),
        (("audio",), "sound", "`anchor` is sound"),
    ],
)
def test_what_is_written_down_must_be_clear(signals: tuple[str, ...], anchor: str | None, message: str) -> None:
    spec = DataSpec({name: SignalSpec(name, name.split("_")[0]) for name in signals}, {"text": LETTERS})

    with pytest.raises(ValueError, match=message):
        SpeechRecognition(spec, anchor=anchor)
