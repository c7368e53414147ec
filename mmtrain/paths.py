"""Where things are: the shipped configs, a run's folder, the newest run, and the one gate for paths found in data."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from mmtrain.errors import ConfigError, DiskError
from mmtrain.largefile import Content, LargeFile
from mmtrain.wholefile import write_whole

_PLAIN = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*\Z")  # what nearly all paths look like, and nothing is wrong with
_LARGE = 2**24  # bytes of a file that is not read whole
_NOT_A_FILE = re.compile(r"^(\w[\w+.-]*:|[|<>-])")  # http://, data:, C:\, |command, -option


def config_dir() -> Path:
    """The shipped YAML tree: `mmtrain/configs` in an installed wheel, the checkout's `configs/` otherwise."""
    package = Path(__file__).resolve().parent
    packaged = package / "configs"
    return packaged if (packaged / "train.yaml").is_file() else package.parent / "configs"


def safe_path(root: Path, value: str) -> Path:
    """The regular file under `root` that a cell of a table names; nothing is opened.

    Raises:
        ValueError: The path leaves `root` (also through a link), is a URL or command, or no regular file.
    """
    _refuse(root, value)
    shown = repr(value[:80])
    try:
        resolved = os.path.realpath(_joined(root, value), strict=True)
        mode = os.stat(resolved).st_mode
    except FileNotFoundError:
        raise ValueError(f"no file {shown} in {root}") from None
    except OSError as error:
        raise ValueError(f"{shown} cannot be opened: {error.strerror}") from None
    # A root that is resolved already need not be again, for each of a million cells.
    if not resolved.startswith(f"{root}{os.sep}") and not Path(resolved).is_relative_to(root.resolve()):
        if value[0] == "/":
            raise ValueError(f"{shown} is not in the data root {root}; name its folder with `dataset.data_root`")
        raise ValueError(f"{shown} is a link out of the data root {root}")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{shown} is not a regular file")
    return Path(resolved)


def safe_read(root: Path, value: str, *, max_bytes: int) -> Content:
    """The content of the file that `safe_path` gives, a large one left where it is.

    Raises:
        ValueError: As in `safe_path`, or the file has more than `max_bytes`.
    """
    path = safe_path(root, value)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise ValueError(f"{value[:80]!r} has {size:,} bytes, more than {max_bytes:,}")
        if size > _LARGE:
            return LargeFile(path)
        return file.read(size)  # no more, should it be growing


def safe_size(root: Path, value: str, folders: set[str]) -> int:
    """The size in bytes of the file that `safe_path` would give; several times faster for many files of one folder.

    Args:
        root: As in `safe_path`.
        value: As in `safe_path`.
        folders: Folders that have been found to lie under `root`; grows. Start with an empty set.

    Raises:
        ValueError: As in `safe_path`.
    """
    _refuse(root, value)
    path = _joined(root, value)
    folder = path.rpartition("/")[0]
    if folder in folders:
        try:
            entry = os.lstat(path)
        except OSError:
            return safe_path(root, value).stat().st_size  # says what is wrong
        if stat.S_ISREG(entry.st_mode):
            return entry.st_size
    size = safe_path(root, value).stat().st_size
    if Path(folder or "/").resolve().is_relative_to(root.resolve()):
        folders.add(folder)
    return size


def plain_sizes(root: Path, values: Sequence[str], folders: set[str]) -> list[int] | None:
    """What `safe_size` gives for each of many values, in two thirds of its time; None where one needs a closer look.

    Args:
        root: As in `safe_path`, but resolved.
        values: Paths.
        folders: As in `safe_size`.
    """
    if not all(map(_PLAIN.match, values)):
        return None
    paths = [f"{root}/{value}" for value in values]
    for folder in {path.rpartition("/")[0] for path in paths} - folders:
        if not Path(folder).resolve().is_relative_to(root):
            return None
        folders.add(folder)
    try:
        found = list(map(os.lstat, paths))
    except OSError:
        return None
    return [entry.st_size for entry in found] if all(stat.S_ISREG(entry.st_mode) for entry in found) else None


def _refuse(root: Path, value: str) -> None:
    if _PLAIN.match(value):
        return
    if not value or "\0" in value or _NOT_A_FILE.match(value):
        raise ValueError(f"{value[:80]!r} is not the path of a file")
    if value[0] in "\\~" or ".." in value.replace("\\", "/").split("/"):
        raise ValueError(f"{value[:80]!r} leaves the data root {root}; media paths lie in it and have no '..'")


def _joined(root: Path, value: str) -> str:
    return value if value[0] == "/" else f"{root}/{value}"


def new_run(output_dir: Path, name: str) -> Path:
    """Makes `output_dir/name/<date>_<time>` exclusively, with a suffix where it exists."""
    parent = output_dir / name
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(10_000):
            folder = parent / (stamp if attempt == 0 else f"{stamp}_{attempt}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise DiskError(
            f"cannot make a run folder in {parent}: {error.strerror}; choose another with `output_dir=`."
        ) from None
    raise DiskError(f"{parent} has 10,000 runs of {stamp}; choose another folder with `output_dir=`.")


def find_run(value: str, output_dir: Path) -> Path:
    """The folder of a run: as given, or the newest one for `last`."""
    if value == "last":
        pointer = output_dir / "last.txt"
        if not pointer.is_file():
            raise ConfigError(f"no run yet in {output_dir}: {pointer} does not exist; train first or name a folder.")
        folder = output_dir / pointer.read_text(encoding="utf-8").strip()
        if not folder.resolve().is_relative_to(output_dir.resolve()):
            raise ConfigError(f"{pointer} points outside {output_dir}; name the run folder instead of `last`.")
    else:
        folder = Path(value)
    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"{folder} is not a run folder: it has no config.yaml.")
    return folder


def remember(folder: Path, output_dir: Path) -> None:
    """Notes a run that begins to train as `last`, and as made here by this user: later verbs may open its data."""
    write_whole(output_dir / "last.txt", f"{folder.relative_to(output_dir)}\n")
    try:
        _own_runs().parent.mkdir(parents=True, exist_ok=True)
        with _own_runs().open("a", encoding="utf-8") as file:
            file.write(f"{folder.resolve()}\n")
    except OSError:
        return  # without a writable home, later verbs ask for the data path again and say so


def is_own(folder: Path) -> bool:
    """Whether `remember` has noted the folder; a copy of a run, or one from a stranger, is not."""
    try:
        lines = _own_runs().read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return str(folder.resolve()) in lines


def user_cache() -> Path:
    """The user's folder for what can be made again at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mmtrain"


def cache_dir(value: str | None) -> Path | None:
    """The folder that `cache_dir` means: the user's own for `auto`, none for None."""
    if value != "auto":
        return None if value is None else Path(value).expanduser()
    return user_cache() / "decoded"


def _own_runs() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "mmtrain" / "runs.txt"
