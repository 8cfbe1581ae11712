from __future__ import annotations

import re
from pathlib import Path

from trimtab.artifacts.folder import load_feature
from trimtab.artifacts.importers import import_prompt

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"<!-- (file|becomes): (\S+) -->\n```\w*\n(.*?)```\n", re.DOTALL)


def blocks(page: str) -> list[tuple[str, str, str]]:
    return [(match[1], match[2], match[3]) for match in BLOCK.finditer((DOCS / page).read_text())]


def test_the_feature_folder_of_the_reference_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "support-reply"
    for _, name, text in blocks("reference/feature-folder.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    source = load_feature(folder)
    assert (source.feature, source.team, source.warnings) == ("support-reply", "shop", [])
    assert [item.kind for item in source.artifacts] == ["prompt", "partial", "model", "tools", "adapter"]


def test_the_import_of_the_how_to_gives_what_it_says(tmp_path: Path) -> None:
    (_, name, text), (_, becomes, expected) = blocks("how-to/import-prompts.md")
    (tmp_path / name).write_text(text)
    imported = import_prompt(tmp_path / name)
    assert imported.files[becomes].decode() == expected
