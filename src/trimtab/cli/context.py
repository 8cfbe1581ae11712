"""What every command starts from: settings, and the control plane opened on demand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.bootstrap.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.control.eval_desk import EvalDesk
    from trimtab.control.plane import ControlPlane

__all__ = ["AppContext"]


class AppContext:
    """Settings are read once, when first needed, so that `--help` works beside a broken file."""

    def __init__(self, *, config: str | None, flags: Mapping[str, Any]) -> None:
        self._config = Path(config) if config else None
        self._flags = dict(flags)
        self._settings: Settings | None = None

    def settings(self, **flags: Any) -> Settings:  # noqa: ANN401 - any setting
        """Return the settings; `flags` (`gateway__port=1`) override everything."""
        if flags:
            extra = {name.replace("__", "."): value for name, value in flags.items()}
            return load_settings(config=self._config, flags=self._flags | extra)
        if self._settings is None:
            self._settings = load_settings(config=self._config, flags=self._flags)
        return self._settings

    def evals(self) -> EvalDesk:
        """Open what evals need of the control plane (imports SQL, as `control`)."""
        from trimtab.bootstrap.control import open_eval_desk

        return open_eval_desk(self.settings())

    def control(self) -> ControlPlane:
        """Open the control plane of the data directory (imports SQL: not for commands that must be quick)."""
        from trimtab.bootstrap.control import open_control

        return open_control(self.settings())
