"""Networks of the transformers library by name, built from plain values, with published or random weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from mmtrain import hub
from mmtrain.suggest import did_you_mean

if TYPE_CHECKING:
    from transformers import PretrainedConfig

WEIGHTS = "model.safetensors"
_UNUSED = ("pooler", "masked_spec_embed")  # parts that do not reach the tokens


def hugging_face(
    where: str,
    name: str,
    *,
    part: Literal["text_config", "vision_config", "audio_config"],
    pretrained: bool,
    architecture: Mapping[str, object] | None,
    gradient_checkpointing: bool,
    changes: Mapping[str, object] | None = None,
    key: str = "name",
    writing: bool = False,
) -> nn.Module:
    """A network without what its tokens do not need, such as a pooler; of an encoder and a decoder the encoder.

    Args:
        where: Dotted config key of the component, for messages.
        name: A local folder as transformers saves it, or a name on the Hugging Face Hub.
        part: Which part of a model of several, such as CLIP.
        pretrained: Read the weights of `name`; False: random ones.
        architecture: What its config.json says; None: read it.
        gradient_checkpointing: Compute hidden layers a second time in the backward pass rather than keep them.
        changes: Values of the architecture to replace.
        key: What the component calls `name`, for messages.
        writing: A causal language model, with its scores of the next token.

    Raises:
        ValueError: The architecture or the weights cannot be had, or do not fit each other.
        ImportError: transformers is not installed.
    """
    try:
        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModel, AutoModelForCausalLM
        from transformers.utils import logging
    except ImportError:
        raise ImportError("networks of Hugging Face need transformers: pip install 'mmtrain[hf]'") from None
    said = f"`{where}.{key}` (={name})"
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers does not type them
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        values = dict(architecture or hub.architecture(name))
        folder = hub.file(name, WEIGHTS).parent if pretrained else None
    except ValueError as error:
        other = "" if architecture is None else f", or random weights with {where}.pretrained=false"
        raise ValueError(f"{said}: {error}; name a local folder{other}.") from None
    kind = str(values.pop("model_type", ""))
    try:
        whole = AutoConfig.for_model(kind, **values)
    except (ValueError, TypeError, KeyError) as error:
        from transformers import CONFIG_MAPPING

        meant = did_you_mean(kind, CONFIG_MAPPING)
        raise ValueError(
            f"{said}: transformers has no architecture '{kind}' like this ({str(error).splitlines()[0][:120]}).{meant}"
        ) from None
    config: PretrainedConfig = getattr(whole, part, whole)
    for changed, value in (changes or {}).items():
        setattr(config, changed, value)
    if writing and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ValueError(f"{said}: a {kind} does not write; name a causal language model, such as distilgpt2.")
    auto: Any = AutoModelForCausalLM if writing else AutoModel
    if folder is None:
        network = auto.from_config(config, dtype=torch.float32)
    else:
        network, found = auto.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
        )
        _refuse_misfits(said, folder / WEIGHTS, network, found)
    if config.is_encoder_decoder:
        network = network.get_encoder()
    for unused in _UNUSED:
        if getattr(network, unused, None) is not None:
            setattr(network, unused, None)
    if gradient_checkpointing:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    made: nn.Module = network
    return made


def answer_shape(network: nn.Module, inputs: tuple[int, ...], **arguments: object) -> tuple[int, ...]:
    """The shape of what a network makes of an input of that shape; nothing is computed.

    Raises:
        ValueError: It cannot take such an input.
    """
    given = torch.empty(inputs, device="meta")
    meta = {name: value.to("meta") for name, value in [*network.named_parameters(), *network.named_buffers()]}
    training = network.training
    try:
        with torch.no_grad():
            answer = torch.func.functional_call(network.eval(), meta, (given,), dict(arguments))
    except (RuntimeError, ValueError, AssertionError) as error:  # what layers raise over a shape, each in its way
        raise ValueError((str(error).splitlines() or ["no reason given"])[0][:160].rstrip(".")) from None
    finally:
        network.train(training)
    return tuple(_tensor(answer).shape)


def _tensor(answer: Any) -> Tensor:
    tensor: Tensor = answer if isinstance(answer, Tensor) else answer[0]
    return tensor


def _refuse_misfits(what: str, path: Path, network: nn.Module, found: Mapping[str, Any]) -> None:
    """Refuses weights that do not give every tensor that is used a finite value of its shape."""
    for key, theirs, ours in sorted(found["mismatched_keys"]):
        raise ValueError(f"{what}: {path}: tensor '{key}' has shape {tuple(theirs)}, the model {tuple(ours)}")
    missing = sorted(key for key in found["missing_keys"] if not key.startswith(_UNUSED))
    if missing:
        raise ValueError(f"{what}: {path} lacks {len(missing)} tensors of this model (first: '{missing[0]}')")
    for key, value in network.state_dict().items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{what}: {path}: tensor '{key}' holds nan or infinite values")
