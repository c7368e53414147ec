"""`mmtrain reproduce RUN`: trains a run again from its folder; says whether the result is the same, else why not.

The second run gets a folder of its own; the first one is only read.
"""

from __future__ import annotations

from pathlib import Path

from mmtrain import paths, reproduction, training
from mmtrain.arguments import parse
from mmtrain.build import build_source
from mmtrain.components import Config
from mmtrain.errors import ConfigError, NotReproduced
from mmtrain.report import say, table
from mmtrain.reproduction import PARTS, Comparison
from mmtrain.trained import changes_of, read_config, require_trusted_paths

OPTIONS = {
    "against": "a run to compare with, in place of training again",
    "tolerance": "how far numbers may be apart, relative to the larger of them and 1; 0.01 where it is not given",
    "seed": "train with another seed, to see how far it carries",
    "num_threads": "threads of the CPU; what the run's own config says where it is not given",
    "device": "auto, cpu, cuda, cuda:1 or mps; likewise",
    "dataset.path": "the table, where it lies elsewhere now",
    "dataset.data_root": "the folder of the media files, where they lie elsewhere now",
    "output_dir": "where the second run is written, and `last` looked up; outputs where it is not given",
}


def run(arguments: list[str]) -> None:
    """Trains again and compares.

    Raises:
        NotReproduced: The result is another one.
    """
    given = parse("reproduce", arguments, positional=("run",), options=OPTIONS)
    output_dir = Path(given.get("output_dir", "outputs"))
    tolerance = _tolerance(given.get("tolerance", "0.01"))
    folder = paths.find_run(given["run"], output_dir)
    other = paths.find_run(given["against"], output_dir) if "against" in given else None
    for each in filter(None, (folder, other)):
        if not reproduction.ended(each):
            raise ConfigError(f"{each} has not ended, so there is nothing to compare; first: mmtrain resume {each}")
    changes = {**changes_of(given), **({"seed": given["seed"]} if "seed" in given else {})}
    config = read_config(folder, Path(given["config-dir"]) if "config-dir" in given else None, changes)
    if other is None:
        require_trusted_paths(folder, config, changes)
        other = training.start({**config, "output_dir": str(output_dir)}, ["reproduce", *arguments])
    made = reproduction.compare(folder, other, tolerance=tolerance, place=_Places(folder, config, changes))
    say(f"\n{folder}\n{other}\n" + table(_lines(made), indent="  "))
    reason = f": {made.differences[0].part}: {made.differences[0].text}" if made.differences else ""
    if made.verdict == "different":
        raise NotReproduced(f"different{reason}")
    say(
        made.verdict + (f", although {reason.removeprefix(': ')}" if reason and made.verdict == "identical" else reason)
    )


class _Places:
    """Where cells stand, from the rows of the run, which are looked up once the first one is asked for."""

    def __init__(self, folder: Path, config: Config, changes: dict[str, str]) -> None:
        self.folder, self.config, self.changes = folder, config, changes
        self._rows: dict[str, int] | None = None

    def __call__(self, name: str, column: str) -> str:
        if self._rows is None:
            require_trusted_paths(self.folder, self.config, self.changes)
            self._source = build_source(self.config)
            self._rows = {identity: row for row, identity in enumerate(self._source.ids)}
        if name not in self._rows:
            return f"row {name}"
        return f"row {name}, {self._source.place(self._rows[name], column)}"


def _lines(made: Comparison) -> list[list[str]]:
    """A line for each part, and one more for each further difference in it."""
    lines = []
    for part in PARTS:
        unchanged = "not compared: not kept" if part == "weights" and not made.has_weights else "same"
        texts = [difference.text for difference in made.differences if difference.part == part] or [unchanged]
        lines += [f"{part if number == 0 else '':10}{text}" for number, text in enumerate(texts)]
    return [[line] for line in lines]


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(f"`tolerance={text}`: expected a number of at least 0, such as 0.01.")
    return value
