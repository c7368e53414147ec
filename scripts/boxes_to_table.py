"""Makes a table of pictures and boxes, as `dataset=table` reads it, from a set in the form of COCO, YOLO or Pascal VOC.

    python scripts/boxes_to_table.py coco annotations.json bccd/boxes.csv
    python scripts/boxes_to_table.py coco train=train.json val=val.json boxes.csv
    python scripts/boxes_to_table.py yolo data.yaml boxes.csv
    python scripts/boxes_to_table.py voc VOC2012 boxes.csv on_bad_box=clip

`on_bad_box` says what becomes of a box that is empty, turned round, reaches beyond its picture or is of a class that
the set does not have: `error` (the default), `skip` it, or `clip` it to the picture, which skips those of no class.
Pictures stay where they are, in or below the folder of the table.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from mmtrain.data.targets import box_files
from mmtrain.data.targets.box_files import Found
from mmtrain.data.targets.boxes import Box
from mmtrain.errors import DataError

_NAMED = 5  # bad boxes in a message


def main(arguments: list[str]) -> int:
    """Converts; returns 0, or 2 for a wrong command line and 3 for data that cannot be used."""
    choice = next((word.partition("=")[2] for word in arguments if word.startswith("on_bad_box=")), "error")
    words = [word for word in arguments if not word.startswith("on_bad_box=")]
    if len(words) < 3 or words[0] not in ("coco", "yolo", "voc") or choice not in ("error", "skip", "clip"):
        print(__doc__, file=sys.stderr)
        return 2
    form, *sources, table = words
    if Path(table).exists():
        print(f"error: {table} is there already; remove it or choose another name.", file=sys.stderr)
        return 2
    bad: list[str] = []

    def keep(place: str, box: Box, reason: str) -> Box | None:
        bad.append(f"{place}: {reason}")
        return box_files.clipped(box) if choice == "clip" else None

    try:
        found = list(box_files.rows(_found(form, sources), Path(table).parent, keep=keep))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    for line in bad[:_NAMED]:
        print(line, file=sys.stderr)
    if bad and choice == "error":
        print(f"error: {len(bad):,} bad boxes; mend them, or set on_bad_box=skip or clip.", file=sys.stderr)
        return 3
    names = list(dict.fromkeys(name for row in found for name in row))
    with Path(table).open("x", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(found)
    print(f"{len(found):,} pictures, {len(bad):,} bad boxes ({choice}): {table}")
    return 0


def _found(form: str, sources: list[str]) -> Iterator[Found]:
    for source in sources:
        split, equals, path = source.rpartition("=")
        if form == "coco":
            yield from box_files.coco(Path(path), split if equals else "")
        else:
            yield from box_files.yolo(Path(path)) if form == "yolo" else box_files.voc(Path(path))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
