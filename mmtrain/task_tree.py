"""The tasks of a config, one inside another, and how the targets that they name are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmtrain.data.targets.kinds import TargetReader, target_reader
from mmtrain.errors import ConfigError
from mmtrain.signatures import arguments, locate

Node = Mapping[str, object]


def children(task: Node) -> dict[str, dict[str, object]]:
    """The nodes of the tasks inside a task, by name."""
    tasks = task.get("tasks")
    return {name: child for name, child in tasks.items() if isinstance(child, dict)} if isinstance(tasks, dict) else {}


def target_readers(task: Node, names: Sequence[str], where: str = "task") -> dict[str, TargetReader]:
    """A reader for each target of a task and of the tasks inside it, made as the class of the task says.

    Args:
        task: The node of the config.
        names: The targets of the data.
        where: The key of the node, for messages.

    Raises:
        ConfigError: A task names no target where there are several, its reader refuses an option, or two tasks read
            one target differently.
    """
    made = locate(str(task["_target_"]))
    kind = getattr(made, "target_kind", None)
    if kind is None:
        return _of_children(task, names, where)
    wanted = task.get("target")
    if wanted is None and getattr(made, "target_optional", False):
        return {}
    if wanted is None and len(names) != 1:
        found = ", ".join(names) or "none"
        raise ConfigError(f"`{where}.target` is null, which means the only target of the data; it has {found}.")
    accepted = arguments(made) or {}
    options = {
        name: task[name] if name in task else accepted[name].default for name in getattr(made, "target_options", ())
    }
    try:
        return {
            str(name): target_reader(str(kind), str(name), **options)
            for name in (names if wanted is None else wanted if isinstance(wanted, list) else [wanted])
        }
    except ValueError as error:
        raise ConfigError(f"`{where}`: {error}") from None


def _of_children(task: Node, names: Sequence[str], where: str) -> dict[str, TargetReader]:
    readers: dict[str, TargetReader] = {}
    for name, child in children(task).items():
        for target, reader in target_readers(child, names, f"{where}.tasks.{name}").items():
            first = readers.setdefault(target, reader)
            if (first.kind, vars(first)) != (reader.kind, vars(reader)):
                raise ConfigError(f"`{where}.tasks`: two tasks read the target `{target}`, and not in the same way.")
    return readers
