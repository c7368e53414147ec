"""The wheel works without the checkout: configs are in it, and users bring their own YAML and Python.

Nothing is downloaded: it is built with the hatchling that is installed, and what it depends on is taken from here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import TINY

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

OWN_ENCODER = '''
from torch import nn

from mmtrain.contracts import Signal, SignalSpec, Tokens


class Mine(nn.Module):
    """One token a picture: a linear map of its pixels."""

    def __init__(self, spec: SignalSpec, *, size: int = 8) -> None:
        super().__init__()
        channels, height, length = spec.shape
        self.width = size
        self.linear = nn.Linear(channels * height * length, size)

    def forward(self, signal: Signal) -> Tokens:
        values = self.linear(signal.values.flatten(1)).unsqueeze(1)
        return Tokens(values * signal.mask.unsqueeze(2), signal.mask, None)
'''


class Installed:
    """The wheel as a user has it: its console script, run in a folder that is no checkout.

    Args:
        target: Where the wheel is installed.
        here: The user's working folder.
    """

    def __init__(self, target: Path, here: Path) -> None:
        self.target, self.here = target, here
        # ahead of this environment's site-packages, where an editable installation would lead back to the checkout
        self.environment = {**os.environ, "PYTHONPATH": str(target), "XDG_STATE_HOME": str(here / "state")}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Any command in the user's folder."""
        return subprocess.run(command, cwd=self.here, env=self.environment, capture_output=True, text=True)

    def mmtrain(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.target / "bin" / "mmtrain"), *arguments)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    """The wheel, built from the checkout and installed; beside it a user's own encoder and rows to predict."""
    wheels, target, here = (tmp_path_factory.mktemp(name) for name in ("wheels", "installed", "user"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", f"--wheel-dir={wheels}", str(ROOT)], check=True)
    (wheel,) = wheels.glob("mmtrain-*.whl")
    subprocess.run([*pip, "install", *offline, f"--target={target}", str(wheel)], check=True)

    (here / "my_enc.py").write_text(OWN_ENCODER, encoding="utf-8")
    (here / "myconf" / "encoder" / "image").mkdir(parents=True)
    (here / "myconf" / "encoder" / "image" / "mine.yaml").write_text(
        "# A linear map of the pixels.\n_target_: my_enc.Mine\nsize: 8   # of the token; at least 1\n", encoding="utf-8"
    )
    (here / "new.jsonl").write_text('{"text": "look"}\n{"text": "listen"}\n', encoding="utf-8")
    return Installed(target, here)


@pytest.fixture(scope="module")
def trained(installed) -> str:
    """A tiny run with the user's own encoder."""
    tiny = [word for word in TINY if not word.startswith("encoder.image.")]
    done = installed.mmtrain(*tiny, "--config-dir", "myconf", "encoder/image=mine")
    assert done.returncode == 0, done.stdout + done.stderr
    return next(line for line in done.stdout.splitlines() if line.startswith("done: ")).removeprefix("done: ")


def test_the_wheel_brings_its_own_configs(installed):
    """What runs is the installed package, not the checkout, and its configs lie inside it."""
    code = "import mmtrain; from mmtrain.paths import config_dir; print(mmtrain.__file__, config_dir())"
    done = installed.run(sys.executable, "-c", code)

    assert done.stdout.split() == [str(installed.target / "mmtrain" / name) for name in ("__init__.py", "configs")]
    shipped = {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.yaml")}
    packed = installed.target / "mmtrain" / "configs"
    assert {path.relative_to(packed) for path in packed.rglob("*.yaml")} == shipped


def test_help_and_lists_answer(installed):
    help_, options = installed.mmtrain("--help"), installed.mmtrain("list", "fusion")

    assert (help_.returncode, options.returncode, help_.stderr, options.stderr) == (0, 0, "", "")
    assert "predict" in help_.stdout
    assert "attention" in options.stdout


def test_own_options_are_listed_beside_the_shipped_ones(installed):
    done = installed.mmtrain("list", "encoder/image", "--config-dir", "myconf")

    assert "A linear map of the pixels." in done.stdout, done.stderr
    assert "resnet18" in done.stdout


def test_a_run_with_own_components_is_evaluated_and_predicts(installed, trained):
    evaluated = installed.mmtrain("evaluate", trained, "--config-dir", "myconf")
    predicted = installed.mmtrain("predict", "last", "input=new.jsonl", "output=out.csv", "--config-dir=myconf")

    assert evaluated.returncode == 0, evaluated.stderr
    assert "\naccuracy 0." in evaluated.stdout
    assert predicted.returncode == 0, predicted.stderr
    assert len((installed.here / "out.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_a_run_with_own_components_is_resumed(installed, trained):
    """As if it had been killed between its two epochs, it is trained to the same end."""
    copy = installed.here / "killed"
    shutil.copytree(installed.here / trained, copy)
    end = copy / "checkpoints" / "step_00000008"
    weights = (end / "model.safetensors").read_bytes()
    shutil.rmtree(end)
    rows = (copy / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (copy / "metrics.jsonl").write_text("".join(row for row in rows if '"end"' not in row), encoding="utf-8")

    done = installed.mmtrain("resume", "killed", "--config-dir", "myconf")

    assert done.returncode == 0, done.stderr
    assert (end / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("words", [["resume"], ["evaluate"], ["predict", "input=new.jsonl"]])
def test_without_the_config_dir_the_error_says_to_repeat_it(installed, trained, words):
    """The run's folder names code that the shipped configs do not: it is not imported."""
    done = installed.mmtrain(words[0], trained, *words[1:])

    assert done.returncode == 2
    assert "my_enc.Mine" in done.stderr
    assert "--config-dir" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_is_reproduced_by_the_console_script(installed, trained):
    """From its folder alone, but for the user's own component, which --config-dir vouches for."""
    done = installed.mmtrain("reproduce", trained, "--config-dir", "myconf")

    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["identical"]), done.stderr
