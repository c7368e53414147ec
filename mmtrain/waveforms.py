"""Networks over waveforms that cannot mask padding: sounds of each length pass by themselves.

So a sound never shares a row with padding, whatever a network normalises over. Fixed windows are one length, and one
pass; where all lengths of a batch differ, each sound is alone, which is slow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from mmtrain.contracts import Signal, SignalSpec, Tokens
from mmtrain.layers import lengths, zeroed


def require_rate(spec: SignalSpec, name: str, sample_rate: int) -> None:
    """Refuses what is no sound, or one of another rate than a network was made for.

    Raises:
        ValueError: Naming the key to set.
    """
    if spec.sample_rate < 1 or spec.shape:
        raise ValueError(f"reads sound, but modality `{spec.name}` is {spec.kind} without a sample rate")
    if spec.sample_rate != sample_rate:
        raise ValueError(
            f"{name} reads {sample_rate} Hz, but `{spec.name}` has {spec.sample_rate}; set "
            f"reader.{spec.name}.sample_rate={sample_rate}."
        )


def field_of_view(convolutions: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Samples that the first token needs, and from one token to the next, for (kernel, stride) of each convolution."""
    least, hop = 1, 1
    for kernel, stride in reversed(convolutions):
        least, hop = (least - 1) * stride + kernel, hop * stride
    return least, hop


def by_length(network: Callable[[Tensor], Tensor], signal: Signal, *, least: int, hop: float) -> Tokens:
    """The tokens of sounds [B,T], by a network that turns [N,T] without padding into [N,L,D].

    Args:
        network: What reads them.
        signal: The sounds; an absent one counts as a single sample.
        least: Samples that the network needs; a shorter sound is filled up with zeros.
        hop: Seconds from one token to the next.
    """
    values, counts = zeroed(signal), lengths(signal.mask)
    rows, parts = [], []
    for count in sorted(set(counts.tolist())):
        rows.append((counts == count).nonzero().squeeze(1))
        parts.append(network(pad(values[rows[-1], :count], (0, max(0, least - count)))))  # [N,L,D]
    longest = max(part.shape[1] for part in parts)
    order = torch.cat(rows).argsort()
    tokens = torch.cat([pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts])[order]  # [B,L,D]
    steps = torch.arange(longest, device=tokens.device)
    real = torch.cat([steps.new_full((len(part),), part.shape[1]) for part in parts])[order]  # [B]
    mask = (steps < real.unsqueeze(1)) & signal.mask.any(dim=1, keepdim=True)
    nan = torch.full_like(steps * hop, torch.nan)
    positions = torch.stack([steps * hop, nan, nan], dim=-1).expand(len(tokens), -1, -1)  # [B,L,3]
    return Tokens(tokens, mask, positions)
