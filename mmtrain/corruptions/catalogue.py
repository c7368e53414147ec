"""Every corruption there is, by kind of modality and name.

What holds for all of them: level 0 changes nothing, a higher level never changes less, level 1 leaves little or
nothing, equal keys change a sample equally, and what was given stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from mmtrain.corruptions import audio, image, text, values, video

OfText = Callable[[str, float, int], str]
OfValues = Callable[[Tensor, float, int], Tensor]
"""What a reader has decoded, a level from 0 to 1 and a key -> the same made worse."""

TEXT: Mapping[str, OfText] = {"typos": text.typos, "drop": text.drop}
"""Corruptions of modalities of kind `text`; they change the cell, since a word that was decoded has no letters."""

_PICTURES: Mapping[str, OfValues] = {
    "gaussian": image.gaussian,
    "salt": image.salt,
    "blur": image.blur,
    "occlusion": image.occlusion,
    "contrast": image.contrast,
}
VALUES: Mapping[str, Mapping[str, OfValues]] = {
    "image": _PICTURES,
    "audio": {"noise": audio.noise, "dropout": audio.dropout, "clipping": audio.clipping, "shift": audio.shift},
    "video": {**_PICTURES, "drop": video.drop, "freeze": video.freeze, "shift": video.shift},
    "features": {"noise": values.noise, "dropout": values.dropout},
    "tabular": {"blank": values.blank},
}
"""Corruptions of what a reader has decoded, by kind."""


def names(kind: str) -> tuple[str, ...]:
    """The corruptions of a kind; none of a kind that is the user's own."""
    return tuple(TEXT if kind == "text" else VALUES.get(kind, {}))
