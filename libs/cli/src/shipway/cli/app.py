"""The command, and what becomes of errors: one line that says what is wrong, and an exit code.

Exit codes: 0 done; 1 it ended badly (a training failed, a version was rejected); 2 the input is wrong;
3 a part of Shipway does not answer; 130 interrupted.
"""

import logging
import sys

import typer

from shipway.cli import token
from shipway.cli.commands import Commands
from shipway.cli.output import DOES_IT_RUN, bad, errors, line, strong
from shipway.client.errors import Refused, ShipwayError, Unreachable
from shipway.contract.errors import Permanent, Transient
from shipway.contract.spec import InvalidSpec
from shipway.runtime import log
from shipway.runtime.settings import LogSettings

app = typer.Typer(
    cls=Commands,
    callback=token.use_token,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Runs the command, and turns errors into a line and an exit code."""
    log.configure(LogSettings(level="warning", format="console"), "cli")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it logs ends the command in a line of ours
    try:
        app()
    except InvalidSpec as err:
        errors.print(line(bad("wrong model file"), f": {len(err.problems)} to mend"))
        for problem in err.problems:
            errors.print(line("  ", strong(problem.field), f": {problem.problem}"))
        sys.exit(2)
    except Refused as err:
        errors.print(line(bad("refused"), ":"), str(err))
        sys.exit(2)
    except Unreachable as err:
        errors.print(line(bad("unreachable"), ":"), str(err))
        errors.print(DOES_IT_RUN)
        sys.exit(3)
    except Transient as err:
        errors.print(line(bad("unreachable"), ":"), str(err))
        sys.exit(3)
    except (ShipwayError, Permanent) as err:
        errors.print(line(bad("error"), ":"), str(err))
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("interrupted")
        sys.exit(130)
