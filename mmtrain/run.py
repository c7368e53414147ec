"""One training under way: everything the loop needs, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from mmtrain.contracts import Results
from mmtrain.data.dataset import Data
from mmtrain.device import Compute
from mmtrain.interrupt import StopFlag
from mmtrain.model import MultimodalModel
from mmtrain.optim import Schedule
from mmtrain.peers import Peers
from mmtrain.protocols import Plan, Task
from mmtrain.record import Recorder
from mmtrain.report import Meter
from mmtrain.settings import RunSettings
from mmtrain.state import Plain, TrainState

Validated = Callable[[int, float], None]
"""Takes the step and the score of each validation, more being better; may raise to end the run."""


@dataclass
class Run:
    """Everything that one training needs."""

    folder: Path
    settings: RunSettings
    data: Data
    plan: Plan
    task: Task
    state: TrainState
    schedule: Schedule
    steps_per_epoch: int
    total_steps: int
    compute: Compute
    peers: Peers
    stop: StopFlag
    meter: Meter
    parameters: Mapping[str, int]  # of each part
    facts: Plain = field(default_factory=dict)
    recorder: Recorder | None = None  # of the first process, while it trains
    saved_step: int = -1
    validated: Validated | None = None
    skipped: dict[str, str] = field(default_factory=dict)  # training rows that could not be read: the reason by id

    @property
    def model(self) -> MultimodalModel:
        """The model that `state` trains."""
        return cast(MultimodalModel, self.state.model)


Tested = Callable[[Run, str, Results], None]
"""Takes the outputs of a run on the split it is judged by, before the run counts as ended."""
