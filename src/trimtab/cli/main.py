"""Entry point of the `trimtab` command.

Subcommands are imported only when called: `trimtab running` must answer in a moment, so it cannot pay for SQL.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

try:
    import click
except ModuleNotFoundError:  # pragma: no cover - exercised by a subprocess with a bare install
    sys.exit("the trimtab command needs the server extra: pip install 'trimtab[server]'")

from trimtab.cli.context import AppContext
from trimtab.cli.output import fail
from trimtab.core.errors import TrimtabError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "cli", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "audit": ("audit", "Read and verify the audit log."),
    "dataset": ("dataset", "What releases are tried on: from files, traffic and feedback."),
    "backup": ("backup", "Back up the data directory while everything runs."),
    "demo": ("demo", "Watch a bad prompt edit roll back and its mended version promote."),
    "diff": ("diff", "What a change of model or prompt does to answers."),
    "environment": ("environment", "Which release an environment points at, and its history."),
    "eval": ("eval", "Try releases on datasets, compare and gate them; record what suites said."),
    "evidence": ("evidence", "Ask what was recorded; keep it in order; erase what must go."),
    "gateway": ("gateway", "Run the OpenAI-compatible gateway."),
    "init": ("init", "Write an example feature folder to start from."),
    "key": ("key", "Create, list and revoke keys of gateways and data-plane machines."),
    "migrate-store": ("migrate_store", "Move control state from SQLite to Postgres."),
    "migration": ("migration", "Replace a model: plan it, watch it, decide at its gates, go back."),
    "prompt": ("prompt", "Import prompts from other tools' formats."),
    "push": ("push", "Store a feature folder: new artifacts, a new release, or nothing."),
    "rehearse": ("rehearse", "What to expect of a rollout plan before anybody meets it."),
    "relay": ("relay", "Connect this machine's data planes to a control plane on another one."),
    "release": ("release", "List, show and compare releases."),
    "restore": ("restore", "Restore a backup where nothing is yet, and verify it."),
    "rollout": ("rollout", "Start, watch and steer rollouts."),
    "running": ("running", "Which version is running right now: declared, and as traffic saw it."),
    "server": ("server", "Run the control plane: controller, API and console."),
    "sim": ("sim", "Run a seeded upstream for trying things."),
    "trace": ("trace", "What one request met: release, prompt, model, scores."),
}
"""Command -> (module under `trimtab.cli.commands`, one line of help)."""


class _LazyGroup(click.Group):
    """A group that imports a command's module when the command is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"trimtab.cli.commands.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])


def _version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    if value:
        from importlib.metadata import version

        from trimtab.core import ids

        compiled = "" if ids.__file__.endswith(".py") else ", data plane compiled"
        click.echo(f"trimtab {version('trimtab')}{compiled}")
        ctx.exit()


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--directory", metavar="PATH", help="Data directory (default .trimtab; env TRIMTAB_DIRECTORY).")
@click.option("--environment", metavar="NAME", help="Environment (default production; env TRIMTAB_ENVIRONMENT).")
@click.option("--config", metavar="FILE", help="Settings file (default trimtab.toml, if it is there).")
@click.option("--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version.")
@click.pass_context
def cli(ctx: click.Context, directory: str | None, environment: str | None, config: str | None) -> None:
    """Release engineering for LLM features.

    Exit status: 0 done, 1 the answer is "no" (a gate failed, the log is broken), 2 misuse, 3 it could not be done.
    """
    ctx.obj = AppContext(config=config, flags={"directory": directory, "environment": environment})


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; every Trimtab error becomes prose on stderr and an exit status."""
    arguments: Any = list(argv) if argv is not None else None
    try:
        cli.main(args=arguments, prog_name="trimtab", standalone_mode=True)
    except TrimtabError as error:
        sys.exit(fail(error))
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe left; that is its right
        sys.exit(0)
