"""Run a demo: folder, processes, crowd, plot and picture together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.environment import child_environment, data_folder
from trimtab.bootstrap.settings import load_settings
from trimtab.core.errors import ConflictError
from trimtab.demo.replayed import replayed
from trimtab.demo.simulated import simulated
from trimtab.demo.story import Story
from trimtab.demo.supervisor import Supervisor
from trimtab.demo.traffic import Crowd
from trimtab.demo.view import View
from trimtab.serving.durable_file import write_atomically

if TYPE_CHECKING:
    from trimtab.bootstrap.settings import Settings
    from trimtab.demo.scenario import Scenario

__all__ = ["run_demo"]

_MARKER = "demo.json"
_ANSWERED = "answered.txt"
"""Generation ids of every answer the crowd got: each must be in a journal, whatever was killed."""
_FRAME_SECONDS = 0.25
_LEAVE_SECONDS = 15.0
_WARM_UP_SECONDS = 4.0


def run_demo(*, folder: Path, replay: bool, resume: bool, seed: int, stay: bool | None) -> int:
    """Run the demo in `folder`; returns 0 where every act ended as it must, else 1."""
    folder = folder.resolve()
    _prepare(folder, resume=resume)
    settings = load_settings(config=folder / "trimtab.toml", environ={}, flags={"directory": str(folder / ".trimtab")})
    scenario = replayed(data_folder()) if replay else simulated(folder, seed=seed)
    with Supervisor(folder, child_environment(folder)) as supervisor:
        try:
            return asyncio.run(_perform(scenario, folder, settings, supervisor, seed=seed, stay=stay))
        except (asyncio.CancelledError, KeyboardInterrupt):
            return 130  # stopped from outside; `--resume` goes on


def _prepare(folder: Path, *, resume: bool) -> None:
    """Make the folder anew (only one that a demo made), or keep it to go on."""
    _stop_leftovers(folder)
    if resume and (folder / _MARKER).exists():
        return
    if folder.exists():
        if not (folder / _MARKER).exists():
            raise ConflictError(
                "folder_exists",
                f"{folder} is there already and no demo made it; nothing was touched",
                hint="name another one with --folder",
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    _write_marker(folder, {})
    upstream, gateway, server = (_free_port() for _ in range(3))
    (folder / "trimtab.toml").write_text(
        f'directory = ".trimtab"\n\n[gateway]\nport = {gateway}\n\n[server]\nport = {server}\ntick_seconds = 0.25\n\n'
        f'[providers.openai]\nbase_url = "http://127.0.0.1:{upstream}/v1"\napi_key_env = ""\n'
    )


def _stop_leftovers(folder: Path) -> None:
    """Stop the processes of a demo that was killed before it could stop them itself."""
    try:
        pids = msgspec.json.decode((folder / _MARKER).read_bytes())["pids"]
    except (OSError, KeyError, msgspec.DecodeError):
        return
    left = [pid for pid in pids.values() if pid is not None and _is_ours(pid)]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _LEAVE_SECONDS
    while any(map(_is_ours, left)) and time.monotonic() < deadline:
        time.sleep(_FRAME_SECONDS)


def _is_ours(pid: int) -> bool:
    try:
        return b"trimtab" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _write_marker(folder: Path, pids: dict[str, int | None]) -> None:
    """Mark the folder as a demo's, and say which process is which."""
    write_atomically(folder / _MARKER, msgspec.json.encode({"pids": pids}), durable=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _perform(
    scenario: Scenario, folder: Path, settings: Settings, supervisor: Supervisor, *, seed: int, stay: bool | None
) -> int:
    plane = open_control(settings)
    story = Story(scenario, folder, plane, child_environment(folder))
    gateway = f"http://127.0.0.1:{settings.gateway.port}"
    crowd = Crowd(f"{gateway}/v1", ask=scenario.ask, usable=scenario.usable, seed=seed)
    view = View(scenario, story, supervisor, crowd)
    view.start()
    loop, performance = asyncio.get_running_loop(), asyncio.current_task()
    if performance is not None:
        loop.add_signal_handler(signal.SIGTERM, performance.cancel)
    tasks = [asyncio.create_task(_draw(view)), asyncio.create_task(_keep_alive(supervisor, story, folder))]
    try:
        await story.prologue()
        await _start_processes(scenario, settings, supervisor)
        story.say(f"Users arrive: {scenario.rate:.0f} requests a second.")
        tasks.append(asyncio.create_task(crowd.run(rate=scenario.rate)))
        await asyncio.sleep(_WARM_UP_SECONDS)
        await story.play()
        await _epilogue(story, crowd, settings, folder)
        (folder / _ANSWERED).write_text("".join(f"{generation}\n" for generation in crowd.acknowledged))
        view.stop()
        tasks.pop(0).cancel()  # the picture: what stands on the screen is the end of the story
        if stay if stay is not None else view.interactive:
            print("\nThe console stays up until Ctrl-C.", flush=True)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        view.stop()
        plane.close()
    return 0 if story.results and all(result.as_expected for result in story.results) else 1


async def _start_processes(scenario: Scenario, settings: Settings, supervisor: Supervisor) -> None:
    upstream = settings.providers["openai"].base_url
    port = upstream.rpartition(":")[2].partition("/")[0]
    loop = asyncio.get_running_loop()
    commands = [
        ("upstream", ["sim", "--port", port, *scenario.upstream], f"{upstream}/models"),
        ("server", ["server"], f"http://127.0.0.1:{settings.server.port}/healthz"),
        ("gateway", ["gateway"], f"http://127.0.0.1:{settings.gateway.port}/readyz"),
    ]
    for name, arguments, ready in commands:
        await loop.run_in_executor(None, supervisor.start, name, arguments, ready)


async def _draw(view: View) -> None:
    while True:
        view.update()
        await asyncio.sleep(_FRAME_SECONDS)


async def _keep_alive(supervisor: Supervisor, story: Story, folder: Path) -> None:
    pids: dict[str, int | None] = {}
    while True:
        for name in supervisor.restart_dead():
            story.say(f"  {name} died and was started again")
        now = {child.name: child.pid for child in supervisor.children}
        if now != pids:
            pids = now
            _write_marker(folder, pids)
        await asyncio.sleep(_FRAME_SECONDS)


async def _epilogue(story: Story, crowd: Crowd, settings: Settings, folder: Path) -> None:
    story.say("")
    await story.command("running")
    story.say("")
    for result in story.results:
        words = " ".join(result.report.words) or result.report.rollout.reason
        outcome = "as it must" if result.as_expected else f"NOT as it must ({result.act.expected})"
        story.say(f"{result.report.candidate} {result.report.rollout.state.replace('_', ' ')}, {outcome}. {words}")
    story.say("")
    story.say(
        f"{crowd.answered:,} answers, {crowd.failed:,} requests without one."
        if crowd.failed
        else f"{crowd.answered:,} answers, every request answered."
    )
    story.say(f"Look at   http://127.0.0.1:{settings.server.port}")
    if shutil.which("trimtab") is None:
        story.say(f"Try       export PATH={Path(sys.executable).parent}:$PATH")
    story.say(f"{'Try       ' if shutil.which('trimtab') else '          '}cd {folder}")
    story.say("          trimtab server &       # the console again, once this demo has stopped")
    story.say("          trimtab running")
    story.say(f"          trimtab rollout explain {story.results[0].act.feature}")
    if crowd.broken_by_candidate:
        story.say(f"          trimtab trace {crowd.broken_by_candidate}")
    story.say(f"          trimtab release diff {story.results[0].act.feature} '#1' '#2'")
    story.say("          trimtab audit verify")
