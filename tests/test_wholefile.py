"""A file is one of the texts that were written, whole, and nothing lies beside it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmtrain.wholefile import write_whole

TEXTS = [letter * 50_000 for letter in "abcdefgh"]


def test_what_many_write_at_once_is_whole_whenever_it_is_read(tmp_path: Path) -> None:
    """Eight threads write twenty times each, and read what is there after each time."""
    file = tmp_path / "text"

    def write(text: str) -> set[str]:
        found = set()
        for _ in range(20):
            write_whole(file, text)
            found.add(file.read_text(encoding="utf-8"))
        return found

    with ThreadPoolExecutor(8) as pool:
        found = set().union(*pool.map(write, TEXTS))

    assert found <= set(TEXTS)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_a_file_stays_as_it_was_where_it_cannot_be_replaced(tmp_path: Path) -> None:
    """A folder has its name."""
    (tmp_path / "taken").mkdir()

    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "taken", "new")

    assert [path.name for path in tmp_path.rglob("*")] == ["taken"]
