"""Functions of the operator's own that settings name: `module:function`, from folders that settings name too."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["load_hook"]


def load_hook(reference: str, folders: Sequence[str], *, setting: str) -> Callable[..., Any]:
    """Return the function that `module:function` names.

    The module is looked for in `folders` alone: whoever may write there may run code in this process. Raises
    `InputError` (`hook_not_found`, `hook_not_loaded`), `setting` naming where the reference stands.
    """
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute:
        raise InputError(
            "hook_not_found",
            f"`{reference}` names no function",
            param=setting,
            hint="write it as module:function",
        )
    places = [str(Path(folder).resolve()) for folder in folders]
    top = module_name.partition(".")[0]
    if not places or importlib.machinery.PathFinder.find_spec(top, places) is None:
        raise InputError(
            "hook_not_found",
            f"module `{module_name}` is in none of the folders that may be imported from",
            param=setting,
            hint=f"{setting}_path is " + (", ".join(places) or "empty: name the folder there"),
        )
    sys.path[:0] = places
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        raise InputError(
            "hook_not_loaded",
            f"module `{module_name}` cannot be imported: {error}",
            param=setting,
            hint="import it by hand from its folder to see the whole error",
        ) from error
    finally:
        for place in places:
            sys.path.remove(place)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise InputError(
            "hook_not_found",
            f"`{attribute}` is no function of module `{module_name}`",
            param=setting,
            hint=f"the module was read from {module.__file__}",
        )
    found: Callable[..., Any] = function
    return found
