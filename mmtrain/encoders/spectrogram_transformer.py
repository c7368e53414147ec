"""Transformer over patches of a log-mel spectrogram: one token a patch.

After Gong et al. 2021, "AST: Audio Spectrogram Transformer", https://arxiv.org/abs/2104.01778. Differs: it is small;
patches do not overlap; positions in time are sinusoids, so that any length works, and learned over the bands; there is
no class token, and padding is masked.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mmtrain.blocks import AttentionBlock, require_heads
from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import sinusoids
from mmtrain.specaugment import SpecAugment
from mmtrain.spectrogram import LogMelSpectrogram


class SpectrogramTransformer(nn.Module):
    """Turns a sound into one token a patch of frames and bands.

    Args:
        spec: A sound modality.
        patch: Frames and bands of a patch.
        hidden_size: D of the tokens; an even multiple of `num_heads`.
        num_layers: Blocks of attention and feed-forward.
        num_heads: Attention heads.
        dropout: In every block.
        n_mels: Mel bands; None: a quarter of `n_fft`, at most 40.
        n_fft: Samples a window; None: about 25 ms.
        hop_length: Samples from one frame to the next; None: 10 ms.
        centre_bands: Take from each band its mean over the sound, so that microphone and voice count less.
        band_masks: Masks of SpecAugment over bands a sound; 0: none.
        band_share: Greatest share of the bands that one covers.
        time_masks: Masks of SpecAugment over time a sound; 0: none.
        time_share: Greatest share of the sound that one covers.

    Raises:
        ValueError: The modality is no sound, `n_mels` is too many for `n_fft`, or `num_heads` or 2 does not divide
            `hidden_size`.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        patch: Annotated[int, Range(1)] = 8,
        hidden_size: Annotated[int, Range(2)] = 128,
        num_layers: Annotated[int, Range(1)] = 4,
        num_heads: Annotated[int, Range(1)] = 4,
        dropout: Annotated[float, Range(0, 1)] = 0.1,
        n_mels: Annotated[int, Range(1)] | None = None,
        n_fft: Annotated[int, Range(16)] | None = None,
        hop_length: Annotated[int, Range(1)] | None = None,
        centre_bands: bool = False,
        band_masks: Annotated[int, Range(0, 10)] = 0,
        band_share: Annotated[float, Range(0, 1)] = 0.25,
        time_masks: Annotated[int, Range(0, 10)] = 0,
        time_share: Annotated[float, Range(0, 1)] = 0.1,
    ) -> None:
        super().__init__()
        self.mel = LogMelSpectrogram(spec, n_mels=n_mels, n_fft=n_fft, hop_length=hop_length, centre_bands=centre_bands)
        require_heads(hidden_size, num_heads, name="hidden_size")
        if hidden_size % 2:
            raise ValueError(f"2 must divide `hidden_size` (={hidden_size}); try {hidden_size + num_heads}.")
        self.augment = SpecAugment(
            band_masks=band_masks, band_share=band_share, time_masks=time_masks, time_share=time_share
        )
        self.patch, self.width = patch, hidden_size
        self.patches = nn.Conv2d(1, hidden_size, patch, patch)
        self.bands = nn.Parameter(torch.randn(-(-self.mel.n_mels // patch), hidden_size) * 0.02)
        self.blocks = nn.ModuleList(AttentionBlock(hidden_size, num_heads, dropout=dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, signal: Signal) -> Tokens:
        """Sound [B,T] -> [B,L,hidden_size], in order of time, then of bands."""
        levels, mask = self.mel(signal)  # [B,frames,F], [B,frames]
        maps = self.augment(levels, mask).unsqueeze(1)
        maps = pad(maps, (0, -maps.shape[3] % self.patch, 0, -maps.shape[2] % self.patch))
        values: Tensor = self.patches(maps).permute(0, 2, 3, 1)  # [B,steps,bands,D]
        steps, bands = values.shape[1:3]
        values = values + sinusoids(steps, self.width, like=values).unsqueeze(1) + self.bands
        values = values.flatten(1, 2)  # [B,L,D]
        mask = mask[:, :: self.patch].repeat_interleave(bands, dim=1)  # a patch is real if its first frame is
        for block in self.blocks:
            values = block(values, mask)
        positions = self.mel.seconds(steps, self.patch, values).repeat_interleave(bands, dim=1)
        return Tokens(
            self.norm(values), mask & signal.mask.any(dim=1, keepdim=True), positions.expand(len(values), -1, -1)
        )
