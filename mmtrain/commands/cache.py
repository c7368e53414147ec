"""`mmtrain cache`: what is kept of decoded samples, features and indexes, and how old; `cache clear` removes it."""

from __future__ import annotations

import time

from mmtrain import arguments
from mmtrain.data.cache import clear, entries, shard_indexes
from mmtrain.errors import ConfigError
from mmtrain.paths import cache_dir
from mmtrain.report import bytes_of, duration, say, table

OPTIONS = {"cache_dir": "the folder of the cache, where runs were given another than ~/.cache/mmtrain"}


def run(words: list[str]) -> None:
    """Lists or clears: the samples, and where no other folder is named also the indexes of tar shards.

    Raises:
        ConfigError: The word is not `clear`.
    """
    given = arguments.parse("cache", words, positional=["[clear]"], options=OPTIONS)
    action = given.get("clear")
    if action not in (None, "clear"):
        raise ConfigError(f"`{action}`: expected `clear` or nothing: mmtrain cache clear.")
    root = cache_dir(given.get("cache_dir", "auto"))
    assert root is not None  # only null, which is no string, means none
    found = entries(root) + ([] if "cache_dir" in given else shard_indexes())
    if action is not None:
        clear(found)
    size = bytes_of(sum(entry.size for entry in found))
    if not found:
        say(f"the cache {root} is empty")
    elif action == "clear":
        say(f"removed {size} from {root}")
    else:
        ages = [f"{duration(max(0.0, time.time() - entry.used))} ago" for entry in found]
        rows = [[entry.recipe, bytes_of(entry.size), age] for entry, age in zip(found, ages, strict=True)]
        say(f"{root}\n" + table([["what is kept", "size", "last used"], *rows, ["total", size, ""]], indent="  "))
