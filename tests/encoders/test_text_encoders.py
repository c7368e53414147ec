"""The encoders of text: their sizes, and what each does that the others do not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mmtrain.contracts import Signal, SignalSpec
from mmtrain.encoders.bag_of_words import BagOfWords
from mmtrain.encoders.embedding_lstm_dense import EmbeddingLSTMDense
from mmtrain.encoders.lstm import GRUEncoder, LSTMEncoder
from mmtrain.encoders.text_cnn import TextCNN
from mmtrain.encoders.transformer import TextTransformer
from mmtrain.layers import sinusoids

WORDS = ("<pad>", "<unknown>", "the", "cat", "sat", "down")
TEXT = SignalSpec("text", "text", length=4, vocabulary=WORDS)


def words(*rows: list[int]) -> Signal:
    """Ids, 0 where a row has ended."""
    values = torch.tensor(rows)
    return Signal(values, values > 0)


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_lstm_has_the_parameters_of_its_formula():
    """An LSTM layer has 4 (input + hidden + 2) hidden: weights and two biases of four gates."""
    module = LSTMEncoder(TEXT, hidden_size=5, num_layers=2, embedding_size=3)

    assert size(module) == 6 * 3 + 4 * (3 + 5 + 2) * 5 + 4 * (5 + 5 + 2) * 5


def test_lstm_reading_both_ways_is_blind_to_padding():
    """The backward direction begins at the last real word, however long the other rows are."""
    module = LSTMEncoder(TEXT, bidirectional=True).eval()
    alone, together = module(words([2, 3])), module(words([2, 3, 0, 0], [5, 4, 3, 2]))

    assert module.width == 256
    torch.testing.assert_close(together.values[0, :2], alone.values[0])
    assert torch.isfinite(module(words([0, 0])).values).all()


def test_lstm_gives_a_word_what_it_has_read_so_far():
    module = LSTMEncoder(TEXT).eval()
    one, other = module(words([2, 3, 4])), module(words([2, 3, 5]))

    assert torch.equal(one.values[:, :2], other.values[:, :2])
    assert not torch.equal(one.values[:, 2], other.values[:, 2])


def test_lstm_refuses_dropout_with_nothing_to_drop_between():
    with pytest.raises(ValueError, match="set `num_layers` to 2 or `dropout` to 0"):
        LSTMEncoder(TEXT, num_layers=1, dropout=0.5)


@pytest.mark.parametrize("header", ["", "3 2\n"])
def test_lstm_starts_from_word_vectors(tmp_path: Path, header: str):
    """GloVe has no header, word2vec has one; of a repeated word the first counts; half of our four words are there."""
    path = tmp_path / "vectors.txt"
    path.write_text(f"{header}cat 1.0 2.0\ndog 9 9\n. . 7 7\nthe -0.5 1e-1\ncat 5 5\n", encoding="utf-8")
    module = LSTMEncoder(TEXT, embedding_size=2, vectors=str(path))

    assert module.embedding.weight[3].tolist() == [1.0, 2.0]
    torch.testing.assert_close(module.embedding.weight[2], torch.tensor([-0.5, 0.1]))
    assert module.coverage == 0.5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("cat 1 2 3\n", "vectors.txt:1: 3 numbers; `embedding_size` is 2, set it to 3"),
        ("9 3\ncat 1 2 3\n", "vectors.txt:2: 3 numbers; `embedding_size` is 2, set it to 3"),
        ("the 1 2\ncat 1\n", "vectors.txt:2: 1 numbers"),
        ("cat 1 nan\n", "vectors.txt:1: holds nan"),
        ("cat 1 two\n", "vectors.txt:1: could not convert"),
    ],
)
def test_lstm_refuses_other_vectors(tmp_path: Path, content: str, message: str):
    (tmp_path / "vectors.txt").write_text(content, encoding="utf-8")

    with pytest.raises(ValueError, match=message):
        LSTMEncoder(TEXT, embedding_size=2, vectors=str(tmp_path / "vectors.txt"))


def test_lstm_refuses_vectors_that_are_not_there(tmp_path: Path):
    with pytest.raises(ValueError, match=r"`vectors`: .* cannot be read: No such file"):
        LSTMEncoder(TEXT, vectors=str(tmp_path / "none.txt"))


def test_transformer_has_the_parameters_of_its_formula():
    """A block: 4(D² + D) attention, 2DF + D + F feed-forward, 4D norms; one more norm at the end."""
    module = TextTransformer(TEXT, hidden_size=8, num_layers=3, num_heads=2, feedforward_size=5)
    block = 4 * (8 * 8 + 8) + (2 * 8 * 5 + 8 + 5) + 4 * 8

    assert size(module) == 6 * 8 + 3 * block + 2 * 8


def test_transformer_positions_are_those_of_the_paper():
    """D = 4: rates 1 and 1/100, sine and cosine of each."""
    expected = torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.841471, 0.540302, 0.0099998, 0.99995]])

    torch.testing.assert_close(sinusoids(2, 4, like=torch.zeros(1)), expected, rtol=1e-5, atol=1e-6)


def test_transformer_tells_orders_apart():
    module = TextTransformer(TEXT).eval()

    assert not torch.allclose(module(words([2, 3])).values.sum(dim=1), module(words([3, 2])).values.sum(dim=1))


@pytest.mark.parametrize(("hidden_size", "num_heads", "nearest"), [(10, 4, 8), (9, 1, 8), (3, 4, 4)])
def test_transformer_refuses_a_width_that_heads_do_not_divide(hidden_size: int, num_heads: int, nearest: int):
    with pytest.raises(ValueError, match=rf"`hidden_size` \(={hidden_size}\); try {nearest}\."):
        TextTransformer(TEXT, hidden_size=hidden_size, num_heads=num_heads)


def test_embedding_lstm_dense_has_the_parameters_of_its_formula():
    assert size(EmbeddingLSTMDense(TEXT)) == 6 * 64 + 4 * (64 + 64 + 2) * 64 + (64 * 64 + 64)


def test_embedding_lstm_dense_keeps_the_state_after_the_last_real_word():
    module = EmbeddingLSTMDense(TEXT).eval()
    states, _ = module.lstm(module.embedding(torch.tensor([[2, 3]])))
    tokens = module(words([2, 3, 0, 0], [2, 3, 4, 5]))

    torch.testing.assert_close(tokens.values[0], module.dense(states[:, 1]))


def test_bag_of_words_has_the_parameters_of_its_formula():
    assert size(BagOfWords(TEXT)) == 6 * 64 + (64 * 64 + 64)


def test_bag_of_words_is_blind_to_order_and_not_to_words():
    module = BagOfWords(TEXT).eval()
    values = module(words([2, 3, 4], [4, 2, 3], [4, 2, 5])).values

    torch.testing.assert_close(values[0], values[1])
    assert not torch.allclose(values[0], values[2])


def test_gru_has_three_quarters_of_the_parameters_of_an_lstm():
    """A GRU layer has 3 (input + hidden + 2) hidden."""
    module = GRUEncoder(TEXT, hidden_size=5, num_layers=2, embedding_size=3)

    assert size(module) == 6 * 3 + 3 * (3 + 5 + 2) * 5 + 3 * (5 + 5 + 2) * 5


def test_text_cnn_finds_a_phrase_wherever_it_stands():
    """One filter of two words that answers w(cat) + 2 w(sat): 1 + 2 * 10 at "cat sat", less at any other place."""
    module = TextCNN(TEXT, widths=[2], num_filters=1, embedding_size=1).eval()
    with torch.no_grad():
        module.embedding.weight.copy_(torch.tensor([[99.0], [0], [0], [1], [10], [0]]))
        module.filters[0].weight.copy_(torch.tensor([[[1.0, 2.0]]]))
        module.filters[0].bias.zero_()

    tokens = module(words([2, 3, 4, 5], [3, 4, 0, 0], [4, 0, 0, 0]))

    assert tokens.values.flatten().tolist() == [21.0, 21.0, 20.0]
    assert size(TextCNN(TEXT, widths=[3, 4], num_filters=5, embedding_size=2)) == 6 * 2 + 5 * (3 * 2 + 1 + 4 * 2 + 1)


def test_text_cnn_starts_from_word_vectors(tmp_path: Path):
    (tmp_path / "vectors.txt").write_text("cat 1.0 2.0\n", encoding="utf-8")

    assert TextCNN(TEXT, embedding_size=2, vectors=str(tmp_path / "vectors.txt")).embedding.weight[3].tolist() == [1, 2]
