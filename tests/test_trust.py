"""A run folder from a stranger cannot make us import anything that the user's own YAML files do not name."""

from __future__ import annotations

import copy
import functools
import sys
from pathlib import Path

import pytest
import yaml

from mmtrain.compose import compose, load_run_config
from mmtrain.errors import ConfigError
from mmtrain.trust import MAX_BYTES


def saved(folder: Path, text: str) -> Path:
    """A run folder with this config."""
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    return folder


@functools.cache
def _composed() -> dict[str, object]:
    return compose([])


def sound() -> dict[str, object]:
    """A config of ours, to be spoiled."""
    return copy.deepcopy(_composed())


def with_node(key: str, value: object) -> str:
    """A sound config with one part replaced or added at a dotted key, as YAML."""
    config = sound()
    *nodes, leaf = key.split(".")
    node = config
    for name in nodes:
        node = node[name]
    node[leaf] = value
    return yaml.safe_dump(config)


def test_a_config_of_ours_is_read_back_unchanged(tmp_path):
    config = compose(["encoder/image_2=resnet18", "modalities=[text,image_2]", "optimizer.lr=1e-4"])

    assert load_run_config(saved(tmp_path, yaml.safe_dump(config))) == config


def test_a_component_inside_another_is_one_of_the_group_its_file_names(tmp_path):
    """A video's frames may be seen by whatever reads pictures."""
    config = compose(["encoder/video=frames_gru", "encoder/image@encoder.video.frame=resnet18"])

    assert load_run_config(saved(tmp_path, yaml.safe_dump(config))) == config


PAYLOADS = [
    ("fusion._target_", "os.system"),
    ("fusion._target_", "builtins.open"),
    ("fusion._target_", "subprocess.run"),
    ("fusion._target_", "logging.os.system"),
    ("fusion._target_", "torch.load"),
    ("fusion._target_", "torch.hub.load"),
    ("fusion._target_", "mmtrain.fusion.concat.torch.load"),
    ("fusion._target_", "mmtrain.fusion.concat.ConcatFusion "),
    ("fusion._target_", "mmtrain.encoders.convnet.ConvNet"),
    ("fusion._target_", ["mmtrain.fusion.concat.ConcatFusion"]),
    ("fusion._target_", {"_target_": "os.system"}),
    ("encoder.image._target_", "os.system"),
    ("encoder.image._target_", "mmtrain.encoders.lstm.LSTMEncoder"),
    ("encoder.video.frame._target_", "os.system"),
    ("encoder.video.frame._target_", "mmtrain.encoders.lstm.LSTMEncoder"),
    ("encoder.video.time", {"_target_": "os.system"}),
    ("encoder.other", {"_target_": "os.system"}),
    ("encoder.image.channels", [{"_target_": "os.system"}]),
    ("encoder.image.channels", {"deep": {"deeper": [{"_target_": "os.system"}]}}),
    ("trainer._target_", "os.system"),
    ("name", {"_target_": "os.system"}),
    ("_target_", "os.system"),
    ("unheard", {"_target_": "os.system"}),
    ("fusion._partial_", True),
    ("fusion._args_", ["ls"]),
    ("fusion._convert_", "none"),
    ("fusion._recursive_", True),
    ("fusion._mode_", "build"),
    ("fusion._call_", "x"),
    ("fusion.target", "os.system"),
    ("encoder.image.target", "os.system"),
    ("fusion.class_path", "os.system"),
    ("fusion.init_args", {"command": "ls"}),
    ("fusion.callable", "os.system"),
    ("hydra", {"launcher": {"_target_": "os.system"}}),
    ("defaults", ["fusion: concat"]),
    ("name", "${oc.env:HOME}"),
    ("name", "${oc.decode:1}"),
    ("modalities", ["text", "${name}"]),
    ("dataset.variant", "${"),
]


@pytest.mark.parametrize(("key", "value"), PAYLOADS)
def test_a_key_that_names_code_is_refused_by_its_name(tmp_path, key, value):
    with pytest.raises(ConfigError, match=key.split(".")[-1]):
        load_run_config(saved(tmp_path, with_node(key, value)))


def test_a_key_of_the_config_cannot_choose_the_folder_in_which_targets_are_looked_up(tmp_path):
    """A folder that came along with the run could hold a YAML file that names anything."""
    (tmp_path / "evil.yaml").write_text("_target_: os.system\n", encoding="utf-8")

    for key in (str(tmp_path), "../" * 20 + str(tmp_path)[1:]):
        config = {**sound(), key: {"_target_": "os.system"}}
        with pytest.raises(ConfigError, match="_target_"):
            load_run_config(saved(tmp_path, yaml.safe_dump(config)))


def test_the_column_of_the_label_may_be_called_target(tmp_path):
    """`task.target` is a column: our own YAML file for the same class has the key."""
    config = load_run_config(saved(tmp_path, with_node("task.target", "os.system")))

    assert config["task"]["target"] == "os.system"


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: 2\n",
        "a: &x [1]\nb: *x\n",
        "a: !!python/object/apply:os.system [ls]\n",
        "a: !!str 1\n",
        "a: 1\na: 2\n",
        "fusion:\n  a: 1\n  a: 2\n",
        "1: 2\n",
        "? [a]\n: 1\n",
        "<<: {a: 1}\n",
        "- a\n",
        "a: [\n",
        "a:\t\tb: 1\n",
        "",
        "a: " + "[" * 1000 + "]" * 1000,
        "a: '" + "x" * MAX_BYTES + "'\n",
        "a: 2001-99-99\n",
        "a: 1\n---\nb: 2\n",
    ],
    ids=lambda text: repr(text[:24]),
)
def test_what_is_no_plain_config_is_refused_with_the_file_named(tmp_path, text):
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load_run_config(saved(tmp_path, text))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"name: \xff\xfe\n")

    with pytest.raises(ConfigError, match="UTF-8"):
        load_run_config(tmp_path)


def test_a_component_of_the_user_is_trusted_only_with_its_folder_and_never_imported_for_it(tmp_path):
    own = tmp_path / "mine"
    (own / "fusion").mkdir(parents=True)
    (own / "fusion" / "mine.yaml").write_text("_target_: canary_module.Mine\n", encoding="utf-8")
    folder = saved(tmp_path, with_node("fusion", {"_target_": "canary_module.Mine"}))

    with pytest.raises(ConfigError, match="--config-dir"):
        load_run_config(folder)
    assert load_run_config(folder, own)["fusion"] == {"_target_": "canary_module.Mine"}
    assert "canary_module" not in sys.modules
