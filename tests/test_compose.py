"""Configs are composed by Hydra's rules, with one of ours: any modality's name takes an encoder."""

from __future__ import annotations

import pytest
from hydra.core.global_hydra import GlobalHydra

from mmtrain import compose
from mmtrain.errors import ConfigError


def test_an_option_and_a_value_are_taken_over():
    config = compose.compose(["fusion=sum", "trainer.epochs=3", "modalities=[image,text]"])

    assert config["fusion"]["_target_"] == "mmtrain.fusion.sum.SumFusion"
    assert config["trainer"]["epochs"] == 3
    assert config["modalities"] == ["image", "text"]


def test_the_config_is_plain_and_leaves_nothing_of_hydra_behind():
    config = compose.compose([])

    assert {type(value) for value in config.values()} <= {dict, list, str, int, float, bool, type(None)}
    assert "hydra" not in config
    assert not GlobalHydra().is_initialized()


def test_a_name_that_the_defaults_list_lacks_gets_the_option_of_its_kind():
    config = compose.compose(["encoder/image_2=resnet18", "reader/image_2=imagenet"])

    assert config["encoder"]["image_2"]["_target_"] == "mmtrain.encoders.resnet.ResNet18"
    assert config["encoder"]["image"]["_target_"] == "mmtrain.encoders.convnet.ConvNet"
    assert config["reader"]["image_2"]["size"] == 224


def test_of_two_options_for_one_name_the_later_one_holds():
    config = compose.compose(["encoder/image_2=resnet18", "encoder/image_2=conv2"])

    assert config["encoder"]["image_2"]["_target_"] == "mmtrain.encoders.conv2.Conv2"


def test_a_name_that_an_experiment_has_added_can_be_changed(tmp_path):
    file = tmp_path / "experiment" / "two.yaml"
    file.parent.mkdir()
    file.write_text("# @package _global_\ndefaults:\n  - /encoder/image@encoder.image_2: conv2\n", encoding="utf-8")

    config = compose.compose(["experiment=two", "encoder/image_2=resnet18"], tmp_path)

    assert config["encoder"]["image_2"]["_target_"] == "mmtrain.encoders.resnet.ResNet18"


def test_a_kind_of_the_users_own_needs_no_plus(tmp_path):
    file = tmp_path / "encoder" / "thermal" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("_target_: my_encoders.Thermal\n", encoding="utf-8")

    config = compose.compose(["encoder/thermal=mine"], tmp_path)

    assert config["encoder"]["thermal"] == {"_target_": "my_encoders.Thermal"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("image", "image"), ("image_2", "image"), ("image_rgb_left", "image_rgb"), ("photo", None)],
)
def test_the_kind_of_a_name_is_the_longest_that_it_starts_with(name, kind):
    assert compose.kind_of(name, ["image", "image_rgb", "text"]) == kind


def test_a_folder_with_a_quote_and_spaces_in_its_name_is_searched(tmp_path):
    folder = tmp_path / "it's a 'folder', ü"
    (folder / "fusion").mkdir(parents=True)
    (folder / "fusion" / "mine.yaml").write_text("_target_: my_fusions.Mine\n", encoding="utf-8")

    assert compose.compose(["fusion=mine"], folder)["fusion"] == {"_target_": "my_fusions.Mine"}
    assert "mine" in compose.group_options("fusion", folder)


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        compose.compose([], tmp_path / "nowhere")


def test_what_hydra_refuses_is_a_config_error():
    with pytest.raises(ConfigError, match="fusion/atention"):
        compose.compose(["fusion=atention"])


def test_an_option_that_reads_as_a_number_is_still_an_option():
    """Hydra's grammar takes `nan` for a float."""
    assert compose.compose(["debug=nan"])["name"] == "debug_nan"


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("宠物.csv", "宠物.csv"),
        ("'宠物.csv'", "宠物.csv"),
        ('"宠物.csv"', "宠物.csv"),
        ("données/mes animaux.csv", "données/mes animaux.csv"),
        ("pets.csv", "pets.csv"),
        (r"'l\'été.csv'", "l'été.csv"),
    ],
)
def test_letters_of_any_language_may_stand_in_a_value(typed, path):
    """In quotes or without."""
    assert compose.compose(["dataset=table", f"dataset.path={typed}"])["dataset"]["path"] == path


def test_letters_of_any_language_may_stand_in_lists():
    assert compose.compose(["modalities=[图片, text,'描述']"])["modalities"] == ["图片", "text", "描述"]
