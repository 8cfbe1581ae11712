"""The files of a feature folder: found by name or pattern, never outside of the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.artifacts.document import Node, nearest
from trimtab.artifacts.files import read_text
from trimtab.artifacts.json_source import parse_json
from trimtab.artifacts.yaml_source import parse_yaml
from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["FolderFiles"]


class FolderFiles:
    """One folder. Every method raises `SourceError`."""

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self.names = _list(folder)

    def document(self, node: Node | None, patterns: Sequence[str]) -> Node | None:
        """What a field holds itself, else the file it points to, else the one file with a usual name."""
        if node is not None and not isinstance(node.value, str):
            return node
        found = self.matching(patterns) if node is None else [self.inside(node)]
        if len(found) > 1:
            raise SourceError("several_files", f"`{found[0].name}` is there too: keep one", path=str(found[1]))
        if not found:
            return None
        text = read_text(found[0])
        parse = parse_json if found[0].suffix == ".json" else parse_yaml
        return parse(text, str(found[0]))

    def inside(self, node: Node) -> Path:
        """The file a field names, which must lie in the folder."""
        name = node.text()
        try:
            path = self._root / name
            inside = path.resolve().is_relative_to(self._root.resolve())
            found = inside and path.is_file()
        except (OSError, ValueError):
            inside, found = True, False
        if not inside:
            raise node.error("outside_folder", f"{node.name}: `{name}` is outside of the feature folder")
        if not found:
            hint = nearest(name, self.names)
            raise node.error("missing_file", f"{node.name}: there is no file `{name}` in the folder", hint=hint)
        return path

    def matching(self, patterns: Sequence[str], node: Node | None = None) -> list[Path]:
        """The files that match any pattern; `node` is where the patterns stand."""
        try:
            found = {path for pattern in patterns for path in self._root.glob(pattern) if path.is_file()}
        except (OSError, ValueError, NotImplementedError) as error:  # an absolute or malformed pattern
            place = node or Node(None, str(self._root), 1)
            raise place.error("malformed_pattern", f"the files cannot be listed: {error}") from None
        outside = [path for path in found if not path.resolve().is_relative_to(self._root.resolve())]
        if outside:
            raise SourceError("outside_folder", "this file is outside of the feature folder", path=str(outside[0]))
        return sorted(found)


def _list(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise SourceError("unreadable_folder", f"cannot be listed: {error.strerror}", path=str(folder)) from error
