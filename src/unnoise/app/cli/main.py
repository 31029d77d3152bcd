"""`unnoise`: the commands, and how each ends: one sentence and an exit code, never a traceback.

Exit codes: 0; 1 some files of a batch failed or a study's checks failed; 2 bad input or usage; 3 missing data;
130 Ctrl-C; 70 a bug.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

from unnoise._version import __version__
from unnoise.app.cli.bench import bench
from unnoise.app.cli.calibrate import calibrate
from unnoise.app.cli.compare import compare
from unnoise.app.cli.denoise import denoise
from unnoise.app.cli.explain import explain
from unnoise.app.cli.generalise import generalise
from unnoise.app.cli.generate import generate
from unnoise.app.cli.lists import data, methods, models, papers
from unnoise.app.cli.noise import noise
from unnoise.app.cli.reproduce import reproduce
from unnoise.app.cli.train import train
from unnoise.errors import UnnoiseError

STOPPED = "stopped; what was finished is kept"
OUT_OF_MEMORY = "not enough memory: choose a smaller --tile, or a method that works in tiles (unnoise methods)"

app = typer.Typer(
    name="unnoise",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Add --debug to any command for the traceback of an error.",
)
CLEAN, MAKE, LOOK, BUILD, LIST = "Clean", "Generate", "Look", "Train and prove", "List"
app.command(rich_help_panel=CLEAN)(denoise)
app.command(rich_help_panel=MAKE)(generate)
app.command(rich_help_panel=LOOK)(noise)
app.command(rich_help_panel=LOOK)(calibrate)
app.command(rich_help_panel=LOOK)(compare)
app.command(rich_help_panel=LOOK)(explain)
app.command(rich_help_panel=LOOK)(generalise)
app.command(rich_help_panel=BUILD)(train)
app.command(rich_help_panel=BUILD)(reproduce)
app.command(rich_help_panel=BUILD)(bench)
app.command(rich_help_panel=LIST)(methods)
app.command(rich_help_panel=LIST)(models)
app.command(rich_help_panel=LIST)(papers)
app.command(rich_help_panel=LIST)(data)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unnoise {__version__}")
        raise typer.Exit


@app.callback()
def unnoise(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    """Clean pictures, measure their noise, and train and prove denoisers."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    # OpenMP threads that spin while they wait take a busy machine's cores from the very work they wait for: 90 s
    # became 6 s beside another job, and nothing changes on an idle one. Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    if debug:
        arguments.remove("--debug")
    sys.exit(run(arguments, debug))


def run(arguments: list[str], debug: bool = False) -> int:
    """Run one command; the exit code. With `debug` errors are raised as they are."""
    try:
        code = get_command(app).main(arguments, prog_name="unnoise", standalone_mode=False)
        if code == 130:  # how Typer passes Ctrl-C on
            return _say(STOPPED, code)
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        return _say(STOPPED, 130)
    except UnnoiseError as error:
        if debug:
            raise
        return _say(str(error), error.exit_code)
    except MemoryError:
        if debug:
            raise
        return _say(OUT_OF_MEMORY, 2)
    except BrokenPipeError:  # `unnoise methods | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # Typer keeps its classes private
            getattr(error, "show", lambda: None)()
            return 2
        if hasattr(error, "format_message"):
            return _say(f"{error.format_message()} (unnoise --help lists what there is)", 2)
        if debug:
            raise
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):  # how torch says MemoryError
            return _say(OUT_OF_MEMORY, 2)
        return _say(
            f"a bug in unnoise, please report it with the output of the same command and --debug "
            f"({type(error).__name__}: {error})",
            70,
        )


def _say(sentence: str, code: int) -> int:
    # no rich here: the last words must not depend on a terminal, and a path must not be wrapped or marked up
    sys.stderr.write(f"unnoise: {sentence}\n")
    return code
