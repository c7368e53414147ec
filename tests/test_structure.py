"""The shape of the source: who may import whom, what is used nowhere or in one place only, how long a file may be.

All is read from the syntax tree; nothing of mmtrain is imported.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mmtrain"

LAYERS = (
    {"largefile", "target", "wholefile"},
    {
        "charts",
        "contracts",
        "errors",
        "interrupt",
        "profiling",
        "record",
        "report",
        "seeding",
        "significance",
        "similarity",
        "suggest",
        "weights",
    },
    {
        "arguments",
        "blocks",
        "boxes",
        "ctc",
        "device",
        "errorrates",
        "hub",
        "layers",
        "offers",
        "optim",
        "paths",
        "peers",
        "precision",
        "protocols",
        "rows",
        "runlock",
        "settings",
        "tokenizer",
        "word_vectors",
    },
    {
        "caption_scores",
        "backbones",
        "class_names",
        "column_vectors",
        "decoder",
        "mixture",
        "contents",
        "nonfinite",
        "patterns",
        "runfolder",
        "signatures",
        "specaugment",
        "spectrogram",
        "temporal",
        "top_down",
        "trials",
        "trust",
        "tuning",
        "waveforms",
    },
    {"box_head", "pretrained_decoder"},
    {"corruptions", "data", "encoders", "fusion", "tasks", "techniques"},
    {"state"},
    {"breakdown", "checkpoint", "components", "compose", "drawing", "evaluation", "model", "survey", "task_tree"},
    {"exhibits", "transfer"},
    {"build", "objective", "page", "run", "sweeper", "validate"},
    {"blending", "check", "datapage", "jobs", "reproduction", "strategies", "telling"},
    {"loop"},
    {"comparison", "features", "imbalance", "rehearsal", "soup"},
    {"finish"},
    {"training"},
    {"trained"},
    {"robustness", "study"},
    {"api", "commands"},
    {"cli"},
    {"__init__", "__main__"},
)
"""Modules and folders, the lowest first: each imports from lower ones only; some folders' also from each other."""

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
"""Syntax tree by name: `loop`, `data.text`, `encoders.__init__`."""

FREE_INSIDE = {"corruptions", "data", "robustness", "study"}
"""Folders whose modules may import each other, though not in circles."""

HYDRA = {"check", "cli", "components", "compose", "jobs", "sweeper"}
"""Where objects of Hydra and OmegaConf live; what leaves these modules is plain."""

CATCHES_ALL = {"cli": 1, "jobs": 1, "signatures": 1, "study.cell_run": 1, "tokenizer": 1}
"""The borders: an error becomes a line and a code, a library raises bare Exception only, a job of a sweep or
a cell of a study ends alone, the user's own module is imported."""

UNIX_ONLY = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}

LONGEST = 260  # lines


def part(module: str) -> str:
    """What a module counts as in LAYERS: its folder, else itself."""
    return module.split(".")[0]


def layer(name: str) -> int:
    return next((number for number, names in enumerate(LAYERS) if name in names), -1)


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in the tree, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write it out"
            yield from (
                [f"mmtrain.{alias.name}" for alias in node.names] if node.module == "mmtrain" else [node.module]
            )


def ours(tree: ast.AST) -> set[str]:
    return {name.removeprefix("mmtrain.") for name in imports(tree) if name.startswith("mmtrain.")}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Calls with the name as it is written: `torch.load`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_every_module_has_a_layer():
    """A new module is given its place in LAYERS; one that is gone leaves it."""
    found = {part(module) for module in MODULES}

    assert found == set.union(*LAYERS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    """A module imports lower layers only, so that each can be read knowing just what lies below it."""
    mine = part(module)
    wrong = {
        name
        for name in ours(MODULES[module])
        if layer(part(name)) >= layer(mine) and not (mine == part(name) and mine in FREE_INSIDE)
    }

    assert wrong == set()


@pytest.mark.parametrize("folder", sorted(FREE_INSIDE))
def test_modules_of_a_folder_do_not_go_in_circles(folder):
    graph = {name: ours(tree) for name, tree in MODULES.items() if part(name) == folder}
    while free := [name for name, below in graph.items() if not below & graph.keys()]:
        for name in free:
            del graph[name]

    assert graph == {}


@pytest.mark.parametrize("folder", ["encoders", "fusion", "tasks"])
def test_components_are_known_to_the_config_only(folder):
    """Nothing imports an encoder, a fusion or a task, its siblings included: a YAML file names it."""
    importers = {name for name, tree in MODULES.items() if folder in map(part, ours(tree))}

    assert importers == set()


def test_hydra_stays_at_the_edge():
    users = {
        name for name, tree in MODULES.items() if {"hydra", "omegaconf"} & {m.split(".")[0] for m in imports(tree)}
    }

    assert users == HYDRA


def test_only_report_prints():
    """Elsewhere a line would miss the log of the run, and break the progress bar."""
    writes = {"print", "pprint", "sys.stdout.write", "sys.stderr.write", "tqdm.write", "warnings.warn"}
    printing = {name for name, tree in MODULES.items() if any(call in writes for call, _ in calls(tree))}

    assert printing == {"report"}


def test_nothing_is_unpickled():
    """A run folder or a file of weights may come from a stranger. `weights` only names the error that torch raises."""
    for name, tree in MODULES.items():
        risky = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"} & set(imports(tree))
        assert risky <= ({"pickle"} if name == "weights" else set()), name
        uses = {
            node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_name(node.value, "pickle")
        }
        parts = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "pickle"]
        assert (uses - {"UnpicklingError"}, parts) == (set(), []), name
        for call, node in calls(tree):
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            assert "allow_pickle" not in given, f"{name}:{node.lineno}"
            if call in ("torch.load", "torch.hub.load_state_dict_from_url"):
                safe = given.get("weights_only")
                assert isinstance(safe, ast.Constant), f"{name}:{node.lineno}"
                assert safe.value is True, f"{name}:{node.lineno}"


def test_no_text_is_run_as_code():
    """`trust` alone calls yaml.load, with a safe loader that refuses more than PyYAML's own."""
    forbidden = {"eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "yaml.full_load", "yaml.unsafe_load"}
    for name, tree in MODULES.items():
        found = forbidden & {call for call, _ in calls(tree)}
        assert found <= ({"yaml.load"} if name == "trust" else set()), name
        shells = [node.lineno for _, node in calls(tree) if any(keyword.arg == "shell" for keyword in node.keywords)]
        assert shells == [], name


def test_errors_are_caught_by_name():
    """Whoever catches everything hides faults; the borders are counted."""
    counted = {name: sum(map(catches_all, ast.walk(tree))) for name, tree in MODULES.items()}

    assert {name: count for name, count in counted.items() if count} == CATCHES_ALL


def test_no_module_is_named_like_one_of_the_standard_library():
    """The folder of a script leads Python's search path, and a module called `signal` there replaces Python's own."""
    names = {module.split(".")[-1] for module in MODULES} - {"__init__", "__main__"}

    assert names & sys.stdlib_module_names == set()


def test_modules_that_only_unix_has_are_imported_with_a_way_out():
    for name, tree in MODULES.items():
        guarded = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.Try) and any(is_name(handler.type, "ImportError") for handler in node.handlers)
            for statement in node.body
            for inner in imports(statement)
        }
        assert (set(imports(tree)) & UNIX_ONLY) <= guarded, name


@pytest.mark.parametrize("module", MODULES)
def test_a_file_is_read_in_one_sitting(module):
    lines = (PACKAGE / Path(*module.split("."))).with_suffix(".py").read_text(encoding="utf-8").count("\n")

    assert lines <= LONGEST, "split it by idea"


def test_the_repository_speaks_of_the_project_only():
    """No word of where or by whom a file was written; such words are spelled here so that this file passes too."""
    words = "|".join(
        (r"\bses" + r"sions?\b", r"\bassis" + r"tants?\b", "/wo" + "rk/", "/tm" + r"p/w\b", "the iss" + r"ue\b")
    )
    allowed = 'scope="ses' + 'sion"'  # a fixture of pytest
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(words, line.replace(allowed, ""), re.IGNORECASE)
    ]

    assert found == []


def texts() -> Iterator[Path]:
    """All text files that a checkout holds, but for what is made in it."""
    kinds = {".py", ".md", ".yaml", ".toml", ".txt", ".ipynb", ".csv", ".json", ".sh", ""}
    folders = ("mmtrain", "configs", "tests", "docs", "scripts", ".ci")
    for path in [*ROOT.glob("*"), *ROOT.glob(".*"), *(file for name in folders for file in (ROOT / name).rglob("*"))]:
        if path.is_file() and path.suffix in kinds and "__pycache__" not in path.parts:
            yield path


def is_name(node: ast.AST | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def catches_all(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    named = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(one is None or is_name(one, "Exception") or is_name(one, "BaseException") for one in named)
