"""A tiny language model as transformers saves one, made and trained here: what is not downloaded for a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel

END = "<|endoftext|>"
STEPS = 150


def write_language_model(folder: Path, texts: Sequence[str], *, steps: int = STEPS) -> None:
    """Two layers of GPT-2 that have learned to write these texts, and their tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=[END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    end = tokenizer.token_to_id(END)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=tokenizer.get_vocab_size(),
                n_positions=32,
                n_embd=32,
                n_layer=2,
                n_head=2,
                bos_token_id=end,
                eos_token_id=end,
                embd_pdrop=0.0,
                resid_pdrop=0.0,
                attn_pdrop=0.0,
            )
        )
        rows = [torch.tensor([end, *tokenizer.encode(text).ids, end]) for text in texts]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(steps):
            loss = network(input_ids=ids.clamp(min=0), labels=ids).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
