"""The readmes and docs are true: their commands run, their code runs, their links lead somewhere.

Commands run in order in one temporary folder, in this process, with `debug=fast` and few rows added. Before each verb,
`last` is a run that was made first, so that every command can be tested alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmtrain.api
from mmtrain import errors
from mmtrain.check import faults
from mmtrain.cli import VERBS, main
from mmtrain.data.builtin.three import BuiltinSource

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PAGES = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]
KNOWN_VERBS = {verb for verbs in VERBS.values() for verb in verbs}

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^`([\w./]+)`[:：]\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)  # a file a reader shall save
EXAMPLE_RUN = "outputs/train/2026-01-31_12-00-00"
INIT = ["init", "pets/manifest.csv", "target=label", "out=myconf/dataset/pets.yaml"]
TINY = ("num_threads=1", "trainer.max_steps=1", "trainer.tensorboard=false", "trainer.evaluate_first=false")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    """The code blocks of a page in some languages."""
    return [code for language, code in BLOCK.findall(text_of(page)) if language in languages]


def lines(page: Path) -> list[str]:
    """The command lines of a page."""
    typed = "".join(blocks(page, "bash", "console", "sh")).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ").strip() for line in typed]


def distinct(start: str) -> list[str]:
    """Command lines that start so, each once, in the order of the pages."""
    found = (line for page in PAGES for line in lines(page))
    return list(dict.fromkeys(line for line in found if line.startswith(start)))


def shortened(words: list[str]) -> list[str]:
    """A training command line with what makes it take seconds."""
    line = " ".join(words)
    added = [*TINY, *([] if "debug=" in line else ["debug=fast"])]
    if not any(word in line for word in ("dataset=table", "dataset=pets", "experiment=pets", "experiment=animals")):
        count = 20 if "text_image " in f"{line} " else 120 if "arithmetic" in line else 72
        added += [f"dataset.{split}_rows={count}" for split in ("train", "val", "test")]
        added += ["reader.image.size=16"]
    return [*words, *added]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A reader's working folder: the files of the pages, the pets, new rows, and a run."""
    folder = tmp_path_factory.mktemp("reader")
    for page in PAGES:
        for name, content in NAMED.findall(text_of(page)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8")
    (folder / "new.csv").write_text("text\nlook at the picture\n", encoding="utf-8")
    path, policy = list(sys.path), os.environ.get("OMP_WAIT_POLICY")
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        exec(compile((folder / "make_pets.py").read_text(encoding="utf-8"), "make_pets.py", "exec"), {})
        assert main(INIT) == 0
        made = ["dataset=table", "dataset.path=pets/manifest.csv", "schedule=constant", "encoder/text=bag_of_words"]
        assert main(shortened(made)) == 0
        run = Path("outputs") / Path("outputs/last.txt").read_text(encoding="utf-8").strip()
        shutil.copytree(run, EXAMPLE_RUN)
        yield folder
    sys.path[:] = path
    if policy is None:
        os.environ.pop("OMP_WAIT_POLICY", None)


@pytest.fixture
def reader(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, entered, with the first run as `last`."""
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [*sys.path, str(here)])
    monkeypatch.setattr("mmtrain.device._usable_cores", lambda: 1)
    (here / "outputs" / "last.txt").write_text(EXAMPLE_RUN.removeprefix("outputs/") + "\n", encoding="utf-8")
    return here


def test_there_are_commands() -> None:
    """An empty list would let the tests below pass unseen."""
    assert len(distinct("mmtrain")) > 20


@pytest.mark.parametrize("line", distinct("mmtrain"))
def test_a_command_runs(reader: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)[1:]
    if words == INIT:
        Path(INIT[-1].removeprefix("out=")).unlink()  # written for all other commands; nothing is overwritten
    if words[:1] == ["study"] and "--help" not in words and "debug=fast" not in words:
        words += ["dry_run=true", "debug=fast"]  # its cells are trained in tests/study
    composes = not (words and words[0] in KNOWN_VERBS - {"check"}) and not {"--help", "--cfg"} & set(words)

    code = main(shortened(words) if composes else words)

    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize("line", distinct("torchrun"))
def test_a_command_for_several_processes_is_legal(reader: Path, line: str) -> None:
    """`tests/test_processes.py` runs such commands; here their arguments are checked."""
    before, after = line.split(" -m mmtrain ")
    words = shlex.split(after)

    assert re.fullmatch(r"torchrun --nproc-per-node=\d", before)
    assert words[0] in KNOWN_VERBS or faults(words) == []


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_on_a_page_runs(reader: Path, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks of a page but files to save share one namespace."""
    train = mmtrain.api.train
    monkeypatch.setattr(mmtrain.api, "train", lambda overrides: train(shortened(list(overrides))))
    files = [content for _, content in NAMED.findall(text_of(page))]
    names: dict[str, object] = {}

    for code in blocks(page, "python"):
        if code not in files:
            exec(compile(code, page.name, "exec"), names)


def test_both_readmes_have_the_same_headings_commands_and_links() -> None:
    english, chinese = map(text_of, READMES)
    levels = [[len(marks) for marks in re.findall(r"^(#+) ", prose(text), re.MULTILINE)] for text in (english, chinese)]
    codes = [blocks(page, "bash", "csv", "python", "yaml") for page in READMES]
    links = [[target for target in LINK.findall(text) if "README" not in target] for text in (english, chinese)]

    assert levels[0] == levels[1]
    assert codes[0] == codes[1]
    assert links[0] == links[1]


def test_both_readmes_show_the_same_tree_and_rows() -> None:
    """What stands before the words of a line in the tree, and the number of rows of the tables."""
    trees = [[line.split("  ")[:-1] for line in blocks(page, "text")[0].splitlines()] for page in READMES]
    rows = [len(re.findall(r"^\|", text_of(page), re.MULTILINE)) for page in READMES]

    assert [len(tree) for tree in trees] == [len(trees[0])] * 2
    assert rows[0] == rows[1]


LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(text: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose(text_of(page))):
        name, _, anchor = target.partition("#")
        if target.startswith("https://"):
            continue
        other = page.parent / name if name else page
        if not other.is_file() or (anchor and anchor not in anchors(other)):
            broken.append(target)

    assert broken == []


def test_every_page_of_docs_is_in_the_readme() -> None:
    linked = set(LINK.findall(text_of(READMES[0])))

    assert [page.name for page in (ROOT / "docs").glob("*.*") if f"docs/{page.name}" not in linked] == []


def test_every_encoder_fusion_and_reader_is_described() -> None:
    page = text_of(ROOT / "docs" / "encoders-and-fusions.md")
    options = [file for group in ("encoder", "fusion") for file in (ROOT / "configs" / group).rglob("*.yaml")]
    readers = [f"reader/{file.parent.name}={file.stem}" for file in (ROOT / "configs" / "reader").rglob("*.yaml")]

    names = [*(file.stem for file in options), *readers]
    assert [name for name in names if f"| `{name}`" not in page] == []


def test_every_exit_code_is_listed() -> None:
    page = text_of(ROOT / "docs" / "training.md")
    codes = {kind.code for kind in vars(errors).values() if isinstance(kind, type)} | {0, 130, 141, 143}

    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == codes


@pytest.mark.parametrize(("variant", "count"), [("look_or_listen", 72), ("text_image", 20), ("arithmetic", 120)])
def test_the_ceilings_are_those_of_the_data(variant: str, count: int) -> None:
    source = BuiltinSource(variant=variant, train_rows=count, val_rows=count, test_rows=count)
    order = ["text", "image", "audio", "text+image", "text+audio", "image+audio"]
    expected = [source.ceilings.get(name) for name in order] + [source.ceilings["+".join(source.kinds)]]

    for page in READMES:
        (row,) = re.findall(rf"^\| `{variant}`.*?\| (.*) \|$", text_of(page), re.MULTILINE)
        shown = [float(cell) if re.fullmatch(r"[\d.]+", cell) else None for cell in row.split(" | ")]
        assert shown == [None if value is None else round(value, 3) for value in expected]
