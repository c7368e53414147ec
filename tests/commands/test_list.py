"""`mmtrain list` shows what can be chosen, from the YAML files and the signatures."""

from __future__ import annotations

import re

import pytest

from mmtrain import compose
from mmtrain.commands import list as listing
from mmtrain.errors import ConfigError


def test_every_group_and_option_is_listed_with_a_description(capsys):
    """An option without a header comment would be a bare word here."""
    listing.run([])

    lines = capsys.readouterr().out.splitlines()
    for group in compose.groups():
        for option in compose.group_options(group):
            line = next(line for line in lines if line.strip().split()[0] == option)
            assert len(line.split()) > 2, line


def test_a_group_is_listed_with_type_range_and_default_of_its_arguments(capsys):
    listing.run(["fusion"])

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "num_queries int, at least 1; 4" in lines


def test_a_fusion_is_listed_with_what_it_reads_its_parameters_and_its_paper(capsys):
    """low_rank, D = 128, r = 4: 2MD + Mr(D + 1)D + r + D parameters."""
    listing.run(["fusion"])

    text = capsys.readouterr().out
    counts = " / ".join(f"{2 * m * 128 + m * 4 * 129 * 128 + 4 + 128:,}" for m in (2, 3, 4))
    (line,) = [line.strip() for line in text.splitlines() if "1806.00064" in line]
    assert (
        line
        == f"reads vectors; {counts} parameters for 2 / 3 / 4 modalities at width 128; https://arxiv.org/abs/1806.00064"
    )


def test_what_a_fusion_reads_is_what_its_file_says(capsys):
    """Its YAML says it in words; the list finds it by trying."""
    listing.run(["fusion"])

    text = capsys.readouterr().out
    for option in compose.group_options("fusion"):
        said = "tokens" if "Reads tokens." in compose.option_file("fusion", option).read_text("utf-8") else "vectors"
        after = text[re.search(rf"^  {option} ", text, re.MULTILINE).start() :].splitlines()[1]
        assert after.strip().startswith(f"reads {said};"), option


def test_the_kinds_of_a_group_are_listed_together(capsys):
    listing.run(["encoder"])

    assert {"encoder/text", "encoder/image", "encoder/audio"} <= set(capsys.readouterr().out.splitlines())


def test_options_of_the_user_are_listed_too(tmp_path, capsys):
    (tmp_path / "fusion").mkdir()
    (tmp_path / "fusion" / "mine.yaml").write_text("# my own fusion\n_target_: no_such.Thing\n", encoding="utf-8")

    listing.run(["fusion", "--config-dir", str(tmp_path)])

    text = capsys.readouterr().out
    assert "my own fusion" in text
    assert "cannot import 'no_such.Thing'" in text


def test_an_unknown_group_is_refused_with_the_one_that_was_meant():
    with pytest.raises(ConfigError, match=r"Did you mean `fusion`\?"):
        listing.run(["fusoin"])
