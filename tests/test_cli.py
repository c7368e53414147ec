"""The command line as a whole: help, verbs, exit codes, sweeps."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmtrain import cli, training
from mmtrain.cli import VERBS, main
from mmtrain.errors import DataError, DiskError, NonFiniteError, Stopped


@pytest.fixture(autouse=True)
def _own_path(monkeypatch):
    """`main` appends the working directory to the path."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Replaces training by a note of what it was given; returns the notes."""
    notes: list[tuple[dict[str, object], list[str]]] = []

    def start(config, arguments, validated=None):
        notes.append((config, list(arguments)))
        return tmp_path

    monkeypatch.setattr(training, "start", start)
    monkeypatch.chdir(tmp_path)
    return notes


def failing(monkeypatch, errors):
    """Training that raises, by seed."""

    def start(config, arguments, validated=None):
        error = errors.get(config["seed"])
        if error is not None:
            raise error
        return Path("outputs/done")

    monkeypatch.setattr(training, "start", start)


def test_help_imports_neither_torch_nor_hydra():
    """It answers at once, also where an installation is broken."""
    code = (
        "import sys\nfrom mmtrain.cli import main\ncode = main(['--help'])\n"
        "heavy = {'torch', 'hydra', 'omegaconf', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])

    assert done.returncode == 0, done.stderr
    assert all(verb in done.stdout for verbs in VERBS.values() for verb in verbs)


def test_every_verb_of_the_help_exists_and_explains_itself(capsys):
    for verbs in VERBS.values():
        for verb in verbs:
            assert main([verb, "--help"]) == 0
            assert f"Usage: mmtrain {verb}" in capsys.readouterr().out


def test_the_package_runs_as_a_module(tmp_path):
    """`python -m mmtrain` from any folder is the installed command; a fault ends it with exit code 2."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}

    done = subprocess.run(
        [sys.executable, "-m", "mmtrain", "fusoin=sum"], capture_output=True, text=True, cwd=tmp_path, env=environment
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: `fusoin`: no such key. Did you mean `fusion`?\n"
    assert list(tmp_path.iterdir()) == []


def test_training_gets_the_composed_config_and_the_command_line_as_typed(trained):
    assert main(["encoder/image_2=resnet18", "trainer.epochs=3"]) == 0

    ((config, arguments),) = trained
    assert config["trainer"]["epochs"] == 3
    assert config["encoder"]["image_2"]["_target_"] == "mmtrain.encoders.resnet.ResNet18"
    assert arguments == ["encoder/image_2=resnet18", "trainer.epochs=3"]


def test_hydra_leaves_nothing_in_the_working_directory(trained, tmp_path):
    main([])

    assert list(tmp_path.iterdir()) == []


def test_the_working_directory_is_importable_and_hides_nothing(trained, tmp_path):
    (tmp_path / "random.py").write_text("raise RuntimeError('shadows the standard library')\n", encoding="utf-8")

    assert main([]) == 0
    assert sys.path[-1] == str(tmp_path)


def test_faults_are_told_at_once_and_nothing_is_trained(trained, capsys):
    assert main(["fusion=atention", "trainer.epochs=0"]) == 2

    assert len(capsys.readouterr().err.splitlines()) == 2
    assert trained == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["seed=1", "evaluate", "last"], "a verb comes first: mmtrain evaluate seed=1 last"),
        (["train", "seed=1"], "training needs no verb: mmtrain seed=1"),
        (["evalute", "last"], "Did you mean `evaluate`?"),
        (["--mutlirun", "seed=1"], "Did you mean `--multirun`?"),
        (["--config-name", "other"], "--config-dir DIR"),
        (["--experimental-rerun", "config.pickle"], "not used here"),
        (["--config-dir", "nowhere"], "no such folder"),
    ],
)
def test_a_command_that_is_not_understood_says_what_to_type(trained, capsys, typed, said):
    assert main(typed) == 2

    assert said in capsys.readouterr().err
    assert trained == []


def test_flags_may_stand_between_overrides(trained):
    assert main(["seed=0,1", "-m", "fusion=sum"]) == 0

    assert [config["seed"] for config, _ in trained] == [0, 1]


def test_the_config_can_be_shown_without_running_it(trained, capsys):
    assert main(["trainer.epochs=7", "--cfg", "job"]) == 0

    assert "epochs: 7" in capsys.readouterr().out
    assert trained == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("pets.csv:3: no file 'a.png'."), 3),
        (NonFiniteError("loss is nan."), 4),
        (MemoryError(), 5),
        (DiskError("full."), 7),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 7),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 7),
        (KeyboardInterrupt(), 130),
        (Stopped("stopped by SIGTERM; saved.", 15), 143),
        (ZeroDivisionError("by zero"), 1),
    ],
)
def test_every_error_ends_in_one_line_and_its_exit_code(monkeypatch, tmp_path, capsys, error, code):
    monkeypatch.chdir(tmp_path)
    failing(monkeypatch, {0: error})

    assert main([]) == code

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_a_traceback_is_shown_only_when_asked_for(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMTRAIN_DEBUG", "1")
    failing(monkeypatch, {0: DataError("bad row.")})

    assert main([]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_control_characters_do_not_reach_the_terminal():
    """A stranger's file could hold them in a key or a cell."""
    _, text = cli.explain(DataError("a\x1b[2Jb"))

    assert text == "error: a\\x1b[2Jb"


def test_in_a_sweep_the_others_go_on_and_a_table_ends_it(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    failing(monkeypatch, {1: NonFiniteError("loss is nan."), 2: DataError("bad row.")})

    code = main(["-m", "seed=0,1,2,3", "fusion=sum"])

    out, err = capsys.readouterr()
    rows = [line.split()[:3] for line in out.split("\n\n")[-1].splitlines()]
    assert code == 4
    assert err.splitlines() == ["error: loss is nan.", "error: bad row."]
    assert rows[1:] == [
        ["seed=0", "done", "outputs/done"],
        ["seed=1", "failed", "(4)"],
        ["seed=2", "failed", "(3)"],
        ["seed=3", "done", "outputs/done"],
    ]


def test_a_sweep_that_is_stopped_starts_no_further_job(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    failing(monkeypatch, {1: Stopped("stopped by SIGTERM; saved.", 15)})

    assert main(["-m", "seed=0,1,2"]) == 143
    assert "not started" in capsys.readouterr().out


def test_a_fault_in_one_value_of_a_sweep_is_told_before_the_first_job(trained, capsys):
    assert main(["-m", "seed=0,x"]) == 2

    assert "`seed`" in capsys.readouterr().err
    assert trained == []


def test_check_says_ok_or_every_fault(capsys):
    rows = [f"dataset.{split}_rows=72" for split in ("train", "val", "test")]
    assert main(["check", "fusion=sum", "debug=fast", *rows]) == 0
    assert "fusion=sum" in capsys.readouterr().out

    assert main(["check", "fusion=sumn", "trainer.epochs=0", "-m", "seed=0,1"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
