"""What frozen encoders make of the data: computed once, kept in the user's cache, and read from then on.

An encoder that no step of the run trains makes the same of a sample each time, if nothing changes the sample at random
first. Before the first step every row is therefore encoded, in batches of one shape, in which no row is padded: what
comes out does not depend on the run, the order and the rows beside it, and a resumed run ends equal to the bit. It is
found by the content of the cell and by all that acts on that: reader, encoder, weights, code, libraries, and how and
where they ran.
"""

from __future__ import annotations

import functools
import hashlib
import json
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from mmtrain.components import Config, node
from mmtrain.compose import without_initial_weights
from mmtrain.data.augment.none import NoAugment
from mmtrain.data.collate import signal_of
from mmtrain.data.dataset import Data
from mmtrain.data.encoded import EncodedRows, packed
from mmtrain.data.store import Store, key_of
from mmtrain.errors import DataError, Stopped
from mmtrain.hub import settled
from mmtrain.offers import Joining
from mmtrain.paths import cache_dir
from mmtrain.protocols import Aligned, Cacheable, Encoder, Varying
from mmtrain.report import duration, progress
from mmtrain.run import Run

_ROUND = 64  # rows of each process between two questions of whether to stop
_BATCH = 8  # rows, filled up by repeating one; larger ones are hardly faster on a CPU


def with_features(run: Run) -> Data:
    """The run's data, every row encoded where that need not be done again: see `encoded_once`.

    Raises:
        Stopped: A signal asked for it; what was encoded is kept.
    """
    root = cache_dir(run.settings.cache_dir)
    names = [] if root is None else [name for name in run.data.spec.signals if encoded_once(run, name)]
    found = {name: rows for name in names if (rows := _encode(run, name, cast(Path, root))) is not None}
    return replace(run.data, encoded=found) if found else run.data


def encoded_once(run: Run, name: str) -> bool:
    """Whether a modality's encoder stays as it is for the whole run, and gets each sample unchanged."""
    encoders, tuning = run.model.by_modality(), run.settings.tuning
    weights = list(encoders[name].parameters())
    thaws = any(encoders[other] is encoders[name] for other in tuning.unfreeze_at or {})
    frozen = bool(weights) and not thaws and not any(weight.requires_grad for weight in weights)
    plain = run.settings.technique.mixing == "none" and isinstance(run.data.augments.get(name), NoAugment | None)
    # A detector asks which frames of a sample are there, and tokens do not say.
    tasks = run.task.tasks.values() if isinstance(run.task, Joining) else (run.task,)
    steps = run.data.spec.signals[name].length > 1
    asks = any(getattr(task, "anchor", None) == name and not isinstance(task, Aligned) for task in tasks)
    return frozen and plain and not (asks and steps)


def _encode(run: Run, name: str, root: Path) -> EncodedRows | None:
    """Encodes what the cache does not have yet; None where training varies the rows, or they cannot be kept."""
    data, peers, begun = run.data, run.peers, time.monotonic()
    digest, recipe = _recipe(run, name)
    store = Store(root / f"features-{digest}", recipe)
    rows = sorted({row for split in data.source.splits.values() for row in split})
    keys: dict[int, bytes] = {}
    faults: dict[int, str] = {}  # told when the row is drawn
    new, varying = 0, False
    step = _ROUND * peers.size
    for start in progress(range(0, len(rows), step), total=-(-len(rows) // step), unit="part"):
        missing: dict[bytes, Tensor] = {}
        for row in rows[start : start + step][peers.rank :: peers.size]:
            try:
                cell = data.cell(row, name) if data.present(row, name) else None
                if cell is None:
                    continue
                key = key_of(cell)
                if store.place(key) is None:
                    varying = varying or _varies(data, row, name)
                    missing[key] = cast(Tensor, data.read(row, name))
                keys[row] = key
            except DataError as error:
                faults[row] = str(error)
            except (ValueError, OSError) as error:
                faults[row] = f"{data.source.place(row, name)}: {error}"
        if any(peers.sum([varying])):
            return None
        _keep(run, name, store, missing)
        new += len(missing)
        if any(peers.sum([run.stop.number])):
            message = "stopped by a signal before the first step; what is encoded is kept: start the same command again"
            raise Stopped(message, run.stop.number or signal.SIGTERM)
    for theirs, their_faults in peers.gather((keys, faults)):
        keys, faults = keys | theirs, faults | their_faults
    (computed,) = peers.sum([new])
    told = f"`{name}`: {len(keys):,} rows from a frozen encoder, {computed:,.0f} of them computed now"
    try:
        found = EncodedRows(store, keys, width=_width(run, name), faults=faults)
    except (KeyError, OSError):
        run.meter.line(f"note: {told}, and they cannot all be kept; they are computed in every epoch")
        return None
    run.meter.line(f"{told}, in {duration(time.monotonic() - begun)}")
    return found


def _varies(data: Data, row: int, name: str) -> bool:
    """Whether training makes a choice of its own for the row."""
    reader = data.readers[name]
    if not isinstance(reader, Varying):
        return False
    values = data.decode(row, name)
    return values is not None and reader.vary(values, 0) is not values


def _keep(run: Run, name: str, store: Store, samples: Mapping[bytes, Tensor]) -> None:
    """Encodes samples and keeps each under its key."""
    device, alike = run.compute.device, defaultdict[object, list[bytes]](list)
    for key, values in samples.items():
        alike[values.shape].append(key)
    for part in (keys[start : start + _BATCH] for keys in alike.values() for start in range(0, len(keys), _BATCH)):
        filled = [samples[key] for key in (part + part[-1:] * _BATCH)[:_BATCH]]
        batch = signal_of(filled, run.data.spec.signals[name]).each(lambda tensor: tensor.to(device))
        with torch.inference_mode(), run.compute.autocast():
            tokens = run.model.encoded(name, batch)
        for place, key in enumerate(part):
            store.put(key, packed(tokens, place))


def _width(run: Run, name: str) -> int:
    return int(cast(Encoder, run.model.by_modality()[name]).width)


def _recipe(run: Run, name: str) -> tuple[str, str]:
    """What the features of a modality are found by, and what it is for people."""
    spec, compute = run.data.spec, run.compute
    encoder, reader, facts = run.model.by_modality()[name], run.data.readers[name], spec.signals[name]
    config = settled(without_initial_weights(cast(Config, run.facts["config"])), spec)
    entries = [node(config, group) for group in ("encoder", "reader")]
    weights = _weights(encoder)
    gpu = torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else ""
    parts = [
        [entry.get(name, entry.get(facts.kind)) for entry in entries],
        repr(replace(facts, name="")),
        reader.recipe() if isinstance(reader, Cacheable) else "",
        weights,
        [_code(type(part).__module__) for part in (reader, *encoder.modules())],
        [compute.device.type, gpu, torch.backends.cpu.get_cpu_capability(), compute.precision, compute.num_threads],
        [run.settings.determinism, run.settings.trainer.channels_last],
    ]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    named = cast(dict[str, object], parts[0][0]).get("name", "")
    return digest[:16], f"{facts.kind} features: {type(encoder).__name__} {named}, weights {weights[:8]}"


def _weights(encoder: nn.Module) -> str:
    """SHA-256 over all parameters and statistics, with their names."""
    digest = hashlib.sha256()
    for name, value in encoder.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


@functools.cache
def _code(module: str) -> str:
    """What says which code a module is of: the version of its library; for ours and the user's own, the code itself."""
    package = module.partition(".")[0]
    if package != __package__:
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            return hashlib.sha256(Path(str(sys.modules[module].__file__)).read_bytes()).hexdigest()
    files = sorted(Path(__file__).parent.rglob("*.py"))  # all of it, as a module shares its work with others
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
