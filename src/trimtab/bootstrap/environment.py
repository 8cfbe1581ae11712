"""What processes inherit, and what is found through the environment."""

from __future__ import annotations

import os
from pathlib import Path

from trimtab.core.errors import InputError

__all__ = ["child_environment", "data_folder"]


def child_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a child that takes its settings from `folder`'s trimtab.toml and nothing else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    return kept | {"TRIMTAB_DIRECTORY": str(folder / ".trimtab"), "PYTHONUNBUFFERED": "1"}


def data_folder() -> Path:
    """Return the folder with recorded data that `TRIMTAB_DATA` names."""
    if "TRIMTAB_DATA" not in os.environ:
        raise InputError(
            "no_data_folder",
            "a replay needs recorded generations",
            param="TRIMTAB_DATA",
            hint="set TRIMTAB_DATA to the folder that holds llmdrift/PRIME_FULL_EVAL.csv",
        )
    return Path(os.environ["TRIMTAB_DATA"])
