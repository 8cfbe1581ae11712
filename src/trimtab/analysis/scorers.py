"""Metrics of a plan made callable: built-ins, regular expressions, JSON Schemas and registered Python functions."""

from __future__ import annotations

import importlib
import importlib.machinery
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema_rs
import msgspec

from trimtab.analysis.foreign import ForeignCode
from trimtab.analysis.measures import MEASURES, satisfies, text_of
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from trimtab.analysis.measures import Measure
    from trimtab.analysis.model import MetricSpec, ScorerSpec
    from trimtab.events import Generation
    from trimtab.releases.model import CompiledRelease

__all__ = ["Measurement", "Meter", "ScorerLibrary", "scorer_problem"]


class Measurement(msgspec.Struct, frozen=True):
    """What a metric made of one generation: a value in its own unit, or nothing, or a failure of the scorer."""

    value: float | None = None
    error: str = ""
    per: float = 1.0
    """Of a ratio, what stands below the line."""


_NOTHING = Measurement()


class Meter:
    """One metric of a plan, ready to measure generations. Never raises."""

    __slots__ = ("_foreign", "_measure", "_per", "spec")

    def __init__(self, spec: MetricSpec, measure: Measure, *, foreign: bool, per: Measure | None = None) -> None:
        self.spec = spec
        self._measure = measure
        self._foreign = foreign
        self._per = per

    def measure(self, generation: Generation, release: CompiledRelease | None) -> Measurement:
        """Return the measurement of a generation; `release` is the one that answered, where it is known."""
        if generation.status == "aborted":
            return _NOTHING
        if not self._foreign:
            value = self._measure(generation, release)
            below = 1.0 if self._per is None else self._per(generation, release)
            return _NOTHING if value is None or below is None else Measurement(value, per=below)
        if generation.content_dropped:
            return _NOTHING  # what the scorer would miss is our doing, not the release's
        result: object = None
        with ForeignCode() as call:
            result = self._measure(generation, release)
        if call.error is not None:
            return Measurement(error=f"{type(call.error).__name__}: {call.error}"[:300])
        return self._checked(result)

    def _checked(self, result: object) -> Measurement:
        if result is None:
            return _NOTHING
        if not isinstance(result, bool | int | float):
            return Measurement(error=f"returned a {type(result).__name__}, not a number, a bool or None")
        value, spec = float(result), self.spec
        if spec.kind == "binary" and value not in {0.0, 1.0}:
            return Measurement(error=f"returned {value:g}, which is neither 0 nor 1")
        is_quantile = spec.kind == "quantile"
        if 0.0 <= value <= (math.inf if spec.cap or is_quantile else 1.0) and not (is_quantile and math.isinf(value)):
            return Measurement(value)
        bounds = "a finite number from 0" if is_quantile else f"between 0 and {'its cap' if spec.cap else 1}"
        return Measurement(error=f"returned {value:g}, which is not {bounds}")


class ScorerLibrary:
    """Turns metric specifications into meters.

    `import_path` lists the only folders from which `python: "module:function"` may load; modules that ship with
    Trimtab itself (`trimtab.…`) are always there. Code runs in the controller's process: whoever may write to these
    folders may run code, so they belong to the operator.
    """

    def __init__(self, import_path: Sequence[Path] = ()) -> None:
        self._import_path = [Path(folder).resolve() for folder in import_path]

    def meters(self, specs: Sequence[MetricSpec]) -> list[Meter]:
        """Return a meter for each metric that is measured; raises `InputError` that names the metric and mends it."""
        return [self._meter(spec) for spec in specs if spec.within is None and not spec.compares_answers]

    def _meter(self, spec: MetricSpec) -> Meter:
        scorer = spec.scorer
        if scorer is None:
            per = None if spec.per is None else MEASURES[spec.per]
            return Meter(spec, MEASURES[spec.source], foreign=False, per=per)
        if scorer.python is not None:
            function = self._load(spec.name, scorer.python)
            return Meter(spec, lambda generation, _release: function(generation), foreign=True)
        return Meter(spec, _rule(spec.name, scorer), foreign=False)

    def _load(self, name: str, reference: str) -> Callable[[Generation], float | None]:
        module_name, _, attribute = reference.partition(":")
        module = self._module(name, module_name)
        function = getattr(module, attribute, None)
        if not callable(function):
            raise InputError(
                "scorer_not_found",
                f"the scorer of metric `{name}` names `{attribute}`, which is no function of `{module_name}`",
                param=reference,
                hint=f"`{module_name}` was read from {module.__file__}",
            )
        found: Callable[[Generation], float | None] = function
        return found

    def _module(self, name: str, module_name: str) -> ModuleType:
        top = module_name.partition(".")[0]
        if top != "trimtab":
            self._check_importable(name, module_name, top)
        entries = [str(folder) for folder in self._import_path]
        sys.path[:0] = entries
        try:
            with ForeignCode() as loading:
                module = importlib.import_module(module_name)
        finally:
            for entry in entries:
                sys.path.remove(entry)
        if loading.error is not None:
            raise InputError(
                "scorer_not_loaded",
                f"the scorer of metric `{name}` cannot be loaded: {type(loading.error).__name__}: {loading.error}",
                param=module_name,
                hint="import the module by hand from its folder to see the whole error",
            ) from loading.error
        return module

    def _check_importable(self, name: str, module_name: str, top: str) -> None:
        folders = [str(folder) for folder in self._import_path]
        spec = importlib.machinery.PathFinder.find_spec(top, folders) if folders else None
        if spec is None:
            raise InputError(
                "scorer_not_found",
                f"the scorer of metric `{name}` is in module `{module_name}`, which is not on the scorers' import path",
                param=module_name,
                hint="the import path is " + (", ".join(folders) or "empty: name the folder in the server's settings"),
            )
        loaded = sys.modules.get(top)
        if loaded is not None and getattr(loaded, "__file__", None) != spec.origin and spec.origin is not None:
            raise InputError(
                "scorer_name_taken",
                f"module `{top}` of metric `{name}` has the name of a module that is loaded already",
                param=str(spec.origin),
                hint="rename the file",
            )


def scorer_problem(spec: MetricSpec) -> str:
    """Return what is wrong with a scorer that is data, whoever loads it; empty where nothing is."""
    if spec.scorer is None or spec.scorer.python is not None:
        return ""
    try:
        _rule(spec.name, spec.scorer)
    except InputError as error:
        return error.message
    return ""


def _rule(name: str, scorer: ScorerSpec) -> Measure:
    """Return the measure of a scorer that is data: a regular expression or a JSON Schema."""
    if scorer.regex is not None:
        try:
            pattern = re.compile(scorer.regex, re.MULTILINE)
        except re.error as error:
            raise InputError(
                "invalid_regex",
                f"the regular expression of metric `{name}` is wrong: {error.msg}",
                param=scorer.regex,
                hint=f"look at character {error.pos}" if error.pos is not None else None,
            ) from error
        wanted = scorer.expect == "match"
        return lambda generation, _release: _on_text(
            generation, lambda text: (pattern.search(text) is not None) == wanted
        )
    schema = msgspec.json.encode(scorer.json_schema)
    try:
        jsonschema_rs.validator_for(msgspec.json.decode(schema))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise InputError(
            "invalid_json_schema", f"the JSON Schema of metric `{name}` is wrong: {error}", param=name
        ) from error
    return lambda generation, _release: _on_text(generation, lambda text: satisfies(text, schema))


def _on_text(generation: Generation, judge: Callable[[str], bool]) -> float | None:
    text = text_of(generation)
    return None if text is None else float(judge(text))
