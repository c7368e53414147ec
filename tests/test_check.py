"""Every fault of a command line is told, at once, with what was meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mmtrain import compose, paths
from mmtrain.check import faults

TYPOS = [
    tuple(line.split())
    for line in (Path(__file__).parent / "typos.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def suggestions(told: list[str]) -> dict[str, str]:
    """What each refused key is said to mean."""
    found = {}
    for line in told:
        refused = re.search(r"`([^`]+)`: no such key\.(?: Did you mean `([^`]+)`\?)?", line)
        if refused:
            found[refused[1]] = refused[2] or ""
    return found


def write(root: Path, path: str, text: str) -> None:
    """A YAML file in a user's own folder."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def test_every_typo_on_a_command_line_is_refused_and_at_least_55_of_60_are_understood():
    """All at once, in one call."""
    told = suggestions(faults([f"{typo}=1" for typo, _ in TYPOS]))

    assert len(TYPOS) == 60
    assert set(told) == {typo for typo, _ in TYPOS}
    assert [typo for typo, meant in TYPOS if told[typo] != meant][5:] == []


def test_every_typo_inside_a_yaml_file_is_refused_with_the_file_named(tmp_path):
    """Hydra alone lets an unknown key of an experiment file pass."""
    tree: dict[str, object] = {}
    for typo, _ in TYPOS:
        *nodes, leaf = typo.split(".")
        node = tree
        for name in nodes:
            node = node.setdefault(name, {})
        node[leaf] = 1
    write(tmp_path, "experiment/wrong.yaml", "# @package _global_\n" + yaml.safe_dump(tree))

    lines = faults(["experiment=wrong"], tmp_path)
    told = suggestions(lines)

    assert set(told) == {typo for typo, _ in TYPOS}
    assert [typo for typo, meant in TYPOS if told[typo] != meant][5:] == []
    assert all(line.startswith(str(tmp_path / "experiment" / "wrong.yaml")) for line in lines)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("fusion=atention", "attention"),
        ("encoder/image=resnet81", "resnet18"),
        ("encoder/imge=resnet18", "encoder/image"),
        ("encoder=resnet18", "encoder/image=resnet18"),
        ("optimizer=adam", "adamw"),
        ("schedule=cosin", "cosine"),
        ("trainer=defualt", "default"),
        ("debug=fats", "fast"),
        ("dataset=tabel", "table"),
        ("determinism=stict", "strict"),
        ("precision=bf61", "bf16"),
        ("trainer.evaluate_unit=steps", "step"),
    ],
)
def test_a_mistyped_option_or_choice_is_refused_with_the_one_that_was_meant(typed, expected):
    (line,) = faults([typed])

    assert line.endswith(f"Did you mean `{expected}`?")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("trainer.epochs=0", "int, at least 1"),
        ("trainer.epochs=2.5", "int, at least 1"),
        ("trainer.epochs=abc", "int, at least 1"),
        ("trainer.epochs=true", "int, at least 1"),
        ("trainer.batch_size=0", "int, at least 1"),
        ("trainer.num_workers=-1", "int, from 0 to 256"),
        ("trainer.clip_norm=0", "float, above 0"),
        ("trainer.compile=1", "bool"),
        ("optimizer.lr=nan", "float, above 0"),
        ("optimizer.lr=-1", "float, above 0"),
        ("fusion.dropout=1.5", "float, from 0 to 1"),
        ("seed=18446744073709551616", "int, from 0"),
        ("modalities=text", "list of str"),
        ("name=3", "str"),
        ("trainer={}", None),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused_with_what_is_expected(typed, expected):
    told = faults([typed])

    if expected is None:
        assert told
    else:
        assert f"`{typed.partition('=')[0]}`: found" in told[0]
        assert f"expected {expected}" in told[0]


@pytest.mark.parametrize("sign", ["+", "++"])
def test_a_plus_does_not_open_the_schema(sign):
    """Hydra would add the key; nothing reads it."""
    assert faults([f"{sign}trainer.xyz=1"]) == ["`trainer.xyz`: no such key."]


def test_a_legal_key_that_no_file_has_is_added_with_a_plus(tmp_path):
    """torch's Adam has `eps`, which this file leaves at its default."""
    write(tmp_path, "optimizer/mine.yaml", "_target_: torch.optim.Adam\nlr: 0.1\n")

    assert faults(["optimizer=mine", "+optimizer.eps=1e-6"], tmp_path) == []
    (line,) = faults(["optimizer=mine", "optimizer.eps=1e-6"], tmp_path)
    assert "+optimizer.eps=" in line


def test_faults_of_every_sort_are_told_together():
    told = faults(["fusion=atention", "trainer.epochs=0", "trianer.epochs=1", "foo", "determinism=stict"])

    assert len(told) == 5


def test_the_keys_of_a_node_whose_option_is_unknown_are_not_judged():
    """`queries` may well be right for the option that was meant."""
    assert len(faults(["fusion=atention", "fusion.num_queries=4"])) == 1


def test_the_shipped_defaults_have_no_fault():
    assert faults([]) == []


@pytest.mark.parametrize("group", ["debug", "experiment", "fusion", "optimizer", "schedule", "trainer"])
def test_every_shipped_option_has_no_fault(group):
    told = {option: faults([f"{group}={option}", *required(group, option)]) for option in compose.group_options(group)}

    assert not any(told.values()), told


def required(group: str, option: str) -> list[str]:
    """What an option needs from the user."""
    if (group, option) == ("fusion", "none"):
        return ["modalities=[image]"]
    file = compose.option_file(group, option)
    own_table = group == "experiment" and file is not None and "override /dataset: table" in file.read_text()
    return ["dataset.path=table.csv"] if own_table else []


def test_a_value_that_a_file_leaves_to_the_user_must_be_set():
    assert faults(["dataset=table"]) == ["`dataset.path`: has no default; set it: dataset.path=<str>."]
    assert faults(["dataset=table", "dataset.path=pets.csv"]) == []


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        (["modalities=[]"], "modalities"),
        (["modalities=[text,text]"], "modalities"),
        (["modalities=[text,image]", "share_encoder=[image,audio]"], "share_encoder"),
        (["modalities=[text,image]", "fusion=none"], "fusion"),
        (["trainer.accumulate=64"], "trainer.accumulate"),
        (["schedule=constant", "schedule.warmup_steps=11", "trainer.max_steps=10"], "schedule.warmup_steps"),
        (["technique.ogm_ge=0.3"], "technique.ogm_ge"),
        (["technique.gradient_blending=9"], "technique.gradient_blending"),
        (
            ["technique.unimodal_weight=1", "technique.gradient_blending=9", "technique.mmpareto=1"],
            "technique.gradient_blending",
        ),
    ],
)
def test_values_that_do_not_go_together_are_refused(typed, key):
    (line,) = faults(typed)

    assert line.startswith(f"`{key}`: ")


def test_each_value_of_a_sweep_is_looked_at():
    told = faults(["seed=0,1,x", "fusion=concat,smu", "trainer.epochs=range(0,2)"], multirun=True)

    assert sorted(line.split("`")[1] for line in told) == ["fusion", "seed", "trainer.epochs"]
    assert faults(["seed=0,1", "fusion=glob(*,exclude=none)"], multirun=True) == []


def test_several_values_without_a_sweep_are_explained():
    (line,) = faults(["modalities=text,image"])

    assert "modalities=[text,image]" in line
    assert "-m" in line


def test_an_unknown_option_inside_a_yaml_file_is_refused_with_the_one_that_was_meant(tmp_path):
    write(tmp_path, "experiment/wrong.yaml", "# @package _global_\ndefaults:\n  - override /fusion: atention\n")

    (line,) = faults(["experiment=wrong"], tmp_path)

    assert "experiment/wrong" in line
    assert line.endswith("Did you mean `attention`?")


def test_an_unknown_group_inside_a_yaml_file_is_refused_with_the_one_that_was_meant(tmp_path):
    write(tmp_path, "experiment/wrong.yaml", "# @package _global_\ndefaults:\n  - override /fusoin: concat\n")

    (line,) = faults(["experiment=wrong"], tmp_path)

    assert line.endswith("Did you mean `fusion`?")


def test_a_yaml_file_that_is_no_yaml_is_named(tmp_path):
    write(tmp_path, "experiment/wrong.yaml", "# @package _global_\ntrainer: [1\n")

    (line,) = faults(["experiment=wrong"], tmp_path)

    assert "wrong.yaml" in line


def test_a_component_of_the_user_is_held_against_its_own_signature(tmp_path, monkeypatch):
    write(
        tmp_path,
        "my_fusions.py",
        "from typing import Annotated\nfrom mmtrain.contracts import Range\n"
        "class Mine:\n"
        "    def __init__(self, modalities, width, *, rate: Annotated[float, Range(0, 1)] = 0.5): ...\n",
    )
    write(tmp_path, "fusion/mine.yaml", "# Mine.\n_target_: my_fusions.Mine\nrate: 2.0\nratio: 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    told = faults(["fusion=mine"], tmp_path)

    file = tmp_path / "fusion" / "mine.yaml"
    assert told == [
        f"{file}: `fusion.rate`: found 2.0, expected float, from 0 to 1.",
        f"{file}: `fusion.ratio`: no such key. Did you mean `fusion.rate`?",
    ]


def test_an_option_of_the_user_that_a_shipped_one_hides_is_refused(tmp_path):
    """Hydra takes the first of two silently."""
    write(tmp_path, "fusion/concat.yaml", "_target_: my_fusions.Mine\n")

    (line,) = faults([], tmp_path)

    assert line.startswith(str(tmp_path / "fusion" / "concat.yaml"))


def test_a_pattern_that_matches_no_option_is_refused():
    (line,) = faults(["fusion=glob(zzz*)"], multirun=True)

    assert "`fusion`" in line


def test_a_target_that_cannot_be_imported_is_a_fault(tmp_path):
    write(tmp_path, "fusion/mine.yaml", "_target_: mmtrain.fusion.concat.ConcatFusoin\n")
    write(tmp_path, "fusion/gone.yaml", "_target_: no_such_package.Mine\n")

    (misspelt,) = faults(["fusion=mine"], tmp_path)
    (gone,) = faults(["fusion=gone"], tmp_path)

    assert misspelt.endswith("Did you mean `ConcatFusion`?")
    assert "no_such_package" in gone


def test_an_encoder_that_no_modality_uses_need_not_be_importable(tmp_path):
    write(tmp_path, "encoder/audio/mine.yaml", "_target_: no_such_package.Mine\n")

    assert faults(["encoder/audio=mine", "modalities=[text,image]"], tmp_path) == []
    assert len(faults(["encoder/audio=mine", "modalities=[text,audio]"], tmp_path)) == 1


def test_a_modality_with_its_own_encoder_is_checked_like_any_other():
    assert faults(["encoder/image_2=resnet18"]) == []
    (line,) = faults(["encoder/image_2=resnet18", "encoder.image_2.stem=smal"])
    assert line.endswith("Did you mean `small`?")


def test_the_environment_is_not_copied_into_a_config(monkeypatch):
    """The config is saved with the run, and shared with it."""
    monkeypatch.setenv("MMTRAIN_CANARY", "secret")

    (line,) = faults(["name=${oc.env:MMTRAIN_CANARY}"])

    assert "`name`" in line
    assert "secret" not in line


def test_every_setting_has_a_line_in_the_shipped_yaml_and_the_reverse():
    """A setting that no file lists would be unknown to users; a line that no setting reads would do nothing."""
    from dataclasses import asdict, fields

    from mmtrain.settings import RunSettings, TechniqueSettings, TrainerSettings, TuningSettings

    typed = {"trainer": TrainerSettings, "technique": TechniqueSettings, "tuning": TuningSettings}
    for group, settings in typed.items():
        written = yaml.safe_load((paths.config_dir() / group / "default.yaml").read_text(encoding="utf-8"))
        assert written == asdict(settings())
    root = yaml.safe_load((paths.config_dir() / "train.yaml").read_text(encoding="utf-8"))
    assert set(root) - {"defaults", "hydra"} == {field.name for field in fields(RunSettings)} - set(typed)
