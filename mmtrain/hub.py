"""Files of pretrained models: from a local folder, the cache of Hugging Face, or, where it answers, its Hub.

Nothing else is asked of the Hub, and code that a model there brings along is never run: an architecture is taken as the
plain values of its config.json.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

from mmtrain.contracts import DataSpec

PATIENCE = 1.5  # seconds for the Hub to answer
_LEFT_OUT = {"architectures", "auto_map", "dtype", "torch_dtype", "transformers_version", "quantization_config"}
_LEFT_OUT |= {"id2label", "label2id", "attn_implementation", "experts_implementation", "output_attentions"}
_LEFT_OUT |= {"output_hidden_states", "return_dict", "use_cache", "gradient_checkpointing"}


def file(name: str, filename: str) -> Path:
    """A file of the folder or model of that name.

    Raises:
        ValueError: It is not there, or the Hub cannot be reached; the message says why, without naming a config key.
        ImportError: `huggingface_hub` is not installed.
    """
    folder = Path(name)
    if folder.is_dir():
        if not (folder / filename).is_file():
            raise ValueError(f"no {filename} in this folder")
        return folder / filename
    try:
        from huggingface_hub import errors, hf_hub_download, try_to_load_from_cache
    except ImportError:
        raise ImportError("names of the Hugging Face Hub need huggingface_hub: pip install 'mmtrain[hf]'") from None
    unreachable = errors.HTTPError  # type: ignore[attr-defined]  # of whichever library the Hub's client uses
    faults = (OSError, errors.HFValidationError, unreachable)
    try:
        kept = try_to_load_from_cache(name, filename)  # a download of local files only asks the Hub for its headers
        if isinstance(kept, str):
            return Path(kept)
        _ask(name, faults)  # fails at once where a download tries for long
        return Path(hf_hub_download(name, filename))
    except faults as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        message = "no such folder, not in the cache of Hugging Face, and not to be had from the Hub"
        raise ValueError(f"{message} ({reason})") from None


def architecture(name: str) -> dict[str, object]:
    """What config.json of a model says of its architecture, without what concerns running it.

    Raises:
        ValueError: As of `file`, or it is no config of a model.
        ImportError: As of `file`.
    """
    path = file(name, "config.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("model_type"), str):
        raise ValueError(f"{path} has no `model_type`, so it is no model of transformers")
    return _plain(content)


def settled(config: Mapping[str, object], spec: DataSpec) -> dict[str, object]:
    """The config of a run in which every `architecture: null` is filled in from the `name` or `decoder` beside it.

    So the config that a run keeps says all that is needed to build its model again.

    Args:
        config: Plain and checked.
        spec: What has been built; encoders of modalities that are not in it stay as they are.

    Raises:
        ValueError: As of `architecture`.
        ImportError: As of `file`.
    """
    entries = config["encoder"]
    assert isinstance(entries, dict)  # checked
    used = {name if name in entries else signal.kind for name, signal in spec.signals.items()}
    encoders = {name: _filled(node) if name in used else node for name, node in entries.items()}
    return {**config, "encoder": encoders, "task": _filled(config["task"])}


def _filled(node: object) -> object:
    if not isinstance(node, dict):
        return node
    made = {key: _filled(value) for key, value in node.items()}
    name = made.get("name", made.get("decoder"))
    if name is not None and made.get("architecture", "") is None:
        made["architecture"] = architecture(str(name))
    return made


def _plain(content: Mapping[str, object]) -> dict[str, object]:
    kept = {key: value for key, value in content.items() if key not in _LEFT_OUT and not key.startswith("_")}
    return {key: _plain(value) if isinstance(value, dict) else value for key, value in kept.items()}


def _ask(name: str, faults: tuple[type[Exception], ...]) -> None:
    """Asks for the model in a thread, because looking up a name may hang far beyond any timeout of the socket."""
    from huggingface_hub import HfApi

    failed: list[Exception] = []

    def ask() -> None:
        try:
            HfApi().model_info(name, timeout=PATIENCE)
        except faults as error:
            failed.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if failed:
        raise failed[0]
    if thread.is_alive():
        raise OSError(f"no answer within {PATIENCE} s")
