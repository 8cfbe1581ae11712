"""The SDK: what importing costs, and what deciding, rendering, recording and calling add to a request.

Every figure stands beside a peer or a floor measured in the same run, turn by turn. Peers that are not installed are
skipped; `python -m benchmarks peers` installs them in an environment of their own and runs this there.
`python -m benchmarks sdk [--rounds N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import itertools
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import minijinja
import msgspec

from benchmarks.harness.bench import FOLDER
from benchmarks.harness.kit import build_kit
from benchmarks.harness.machine import describe_machine
from benchmarks.harness.page import sdk_tables
from benchmarks.harness.processes import SERVER_CORE, on_core, spinning
from benchmarks.harness.results import Sdk
from benchmarks.harness.turns import Case, take_turns
from benchmarks.sdk_calls import open_call_cases
from benchmarks.sdk_feature import TEMPLATE, VARIABLES, published
from benchmarks.sdk_peers import growthbook, langfuse, openfeature
from trimtab.providers.endpoint import Endpoint
from trimtab.sdk.client import Trimtab

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 7
CALLS, MODEL_CALLS = 2000, 480
IMPORTS = {
    "import trimtab": "import trimtab",
    "import trimtab; trimtab.Trimtab": "import trimtab; trimtab.Trimtab",
    "floor: import msgspec": "import msgspec",
    "peer: import openfeature.api": "import openfeature.api",
    "peer: import growthbook": "import growthbook",
    "peer: import openai": "import openai",
    "peer: import langfuse": "import langfuse",
}
PACKAGES = ("langfuse", "growthbook", "openfeature-sdk", "openai", "jinja2", "minijinja")
OUTPUT = "Your order 48213 shipped on Tuesday and should arrive within two business days."


def import_costs(rounds: int) -> dict[str, float]:
    """Process CPU in ms beyond bare Python, median of rounds, one of each per round; what is missing is left out."""
    programs = {"bare": "pass", **IMPORTS}
    samples: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if done.returncode == 0:
                spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                samples[name].append(spent * 1e3)
    bare = statistics.median(samples.pop("bare"))
    return {name: statistics.median(values) - bare for name, values in samples.items() if values}


def own_cases(tt: Trimtab, other: Trimtab) -> Iterator[Case]:
    """What one request pays, whole and in parts. `other` serves the same to callers whose variables never recur."""
    shops = (f"shop {number}" for number in itertools.count())
    strange = other.resolve("support-reply", unit="u1")
    units = itertools.cycle([f"user-{number}" for number in range(1000)])
    usage = {"input_tokens": 58, "output_tokens": 27}
    resolved = tt.resolve("support-reply", unit="u1")
    rendered = resolved.render(**VARIABLES)

    def whole() -> None:
        answered = tt.render("support-reply", unit=next(units), variables=VARIABLES)
        tt.record(answered, output=OUTPUT, usage=usage)

    yield Case("trimtab: decide + render + record", whole, after=tt.flush)
    yield Case("  decide", lambda: tt.resolve("support-reply", unit=next(units)), after=tt.flush)
    yield Case("  render a resolved release", lambda: resolved.messages(VARIABLES))
    yield Case("  render, variables new each time", lambda: strange.messages({"shop": next(shops), "tone": "kind"}))
    yield Case("  record", lambda: tt.record(rendered, output=OUTPUT, usage=usage), after=tt.flush)


def bare_case() -> Case:
    """What Python takes for as many calls that look up, copy and keep, and check, count and remember nothing."""
    met = {"support-reply": {f"user-{number}": ("system", "sha256:1") for number in range(1000)}}
    texts = {tuple(VARIABLES.values()): (("system", TEMPLATE),)}
    waiting: collections.deque[tuple[object, ...]] = collections.deque(maxlen=5000)
    tails = itertools.cycle([f"{number:020x}" for number in range(4096)])
    units = itertools.cycle(met["support-reply"])

    def render(feature: str, *, unit: str = "", variables: dict[str, str]) -> tuple[object, ...]:
        values = variables.copy()
        decision, started_ns = met[feature][unit], time.monotonic_ns()
        messages = [{"role": role, "content": text} for role, text in texts[values["shop"], values["tone"]]]
        return decision, started_ns, values, messages

    def record(answered: tuple[object, ...], *, output: str, usage: dict[str, int]) -> str:
        ended_ns = time.monotonic_ns()
        generation = f"gen_{ended_ns >> 20:012x}{next(tails)}"
        waiting.append((generation, answered, output, usage["input_tokens"], usage["output_tokens"], ended_ns))
        return generation

    usage = {"input_tokens": 58, "output_tokens": 27}
    return Case(
        "floor: two bare functions",
        lambda: record(render("support-reply", unit=next(units), variables=VARIABLES), output=OUTPUT, usage=usage),
    )


def peer_cases(stack: contextlib.ExitStack, skipped: dict[str, str]) -> Iterator[Case]:
    """Peers that are installed, then the bare template engines."""
    units = itertools.cycle([f"user-{number}" for number in range(1000)])
    opened = {
        langfuse.NAME: lambda: langfuse.open_case(TEMPLATE.replace("{{ ", "{{").replace(" }}", "}}"), VARIABLES),
        growthbook.NAME: growthbook.open_case,
        openfeature.NAME: openfeature.open_case,
    }
    for name, open_case in opened.items():
        try:
            call = stack.enter_context(open_case())
        except ModuleNotFoundError as missing:
            skipped[name] = str(missing)
            continue
        yield Case(name, lambda call=call: call(next(units)))
    engine = minijinja.Environment(templates={"0": TEMPLATE})
    yield Case("floor: minijinja alone", lambda: engine.render_template("0", **VARIABLES))
    with contextlib.suppress(ModuleNotFoundError):
        import jinja2

        compiled = jinja2.Environment(autoescape=False).from_string(TEMPLATE)
        yield Case("floor: jinja2 alone", lambda: compiled.render(VARIABLES))


def measure(rounds: int, command: str) -> Sdk:
    """Measure everything in this process, on the core that servers are measured on."""
    kit = dataclasses.replace(build_kit(FOLDER / "kit"), busy_poll=True)
    skipped: dict[str, str] = {}
    machine = describe_machine()
    FOLDER.mkdir(exist_ok=True)
    with on_core(SERVER_CORE), contextlib.ExitStack() as stack:
        # a disk-backed folder: tmpfs would flatter the journal
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=FOLDER)))
        published(folder)
        with spinning(), Trimtab(folder) as tt, Trimtab(folder) as other:
            cases = [*own_cases(tt, other), bare_case(), *peer_cases(stack, skipped)]
            in_process = take_turns(cases, calls=CALLS, rounds=rounds)
        with spinning((SERVER_CORE,)), kit.upstream() as port, contextlib.ExitStack() as clients:
            base_url = f"http://127.0.0.1:{port}/v1"
            providers = {"openai": Endpoint(name="openai", base_url=base_url)}
            tt = clients.enter_context(Trimtab(folder, providers=providers))
            cases = list(open_call_cases(tt, base_url, clients, skipped))
            calls = take_turns(cases, calls=MODEL_CALLS, rounds=rounds)
        with spinning():
            imports = import_costs(rounds)
    return Sdk(
        machine=machine,
        command=command,
        versions=_versions(),
        in_process=in_process,
        calls=calls,
        import_ms=imports,
        skipped=skipped,
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Print the tables, or write what was found as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sdk")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="write the figures there instead of printing them")
    parser.add_argument("--command", default="python -m benchmarks sdk", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    found = measure(asked.rounds, asked.command)
    if asked.json:
        asked.json.write_bytes(msgspec.json.encode(found))
    else:
        print(sdk_tables(found))


if __name__ == "__main__":
    main()
