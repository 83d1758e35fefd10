"""The command's commands, and what becomes of errors: one line that says what is wrong, and an exit code.

Exit codes: 0 done; 1 it ended badly (a training failed, a version was rejected); 2 the input is wrong;
3 a part of Shipway does not answer; 130 interrupted.
"""

import sys

import typer

from shipway.cli import (
    alerts,
    config,
    data,
    deadletters,
    demo,
    doctor,
    events,
    jobs,
    models,
    monitoring,
    predict,
    predictions,
    provision,
    quality,
    release,
    report,
    stack,
    status,
    token,
    train,
)
from shipway.cli.output import errors
from shipway.client import Refused, ShipwayError, Unreachable
from shipway.contract.errors import Permanent, Transient
from shipway.contract.spec import InvalidSpec
from shipway.runtime import log
from shipway.runtime.settings import LogSettings

app = typer.Typer(
    callback=token.use_token,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("up")(stack.up)
app.command("down")(stack.down)
app.add_typer(models.app, name="model", help="Declare models and look at them.")
app.add_typer(data.app, name="data", help="Bring data into the object store.")
app.command("train")(train.train)
app.command("cancel")(train.cancel)
app.command("report")(report.report)
app.command("compare")(report.compare)
for name, command in release.COMMANDS.items():
    app.command(name, rich_help_panel="Releases")(command)
app.add_typer(jobs.app, name="jobs", help="Trainings on record, stage by stage; run a failed one again.")
app.command("predict")(predict.predict)
app.add_typer(predictions.app, name="predictions", help="The record of what was predicted.")
app.command("quality")(quality.quality)
app.command("monitoring")(monitoring.monitoring)
app.add_typer(alerts.app, name="alerts", help="What is unusual and goes on: look, acknowledge, silence.")
app.command("status")(status.status)
app.command("events")(events.events)
app.add_typer(deadletters.app, name="dead-letters", help="What services refused; send it again.")
app.add_typer(token.app, name="token", help="Make, list and revoke API tokens.")
app.command("doctor")(doctor.doctor)
app.command("provision")(provision.provision)
app.command("config")(config.config)


def main() -> None:
    """Runs the command, and turns errors into a line and an exit code."""
    log.configure(LogSettings(level="warning", format="console"), "cli")
    try:
        app()
    except InvalidSpec as err:
        errors.print(f"[red]wrong model file[/red]: {len(err.problems)} to mend")
        for problem in err.problems:
            errors.print(f"  [bold]{problem.field}[/bold]: {problem.problem}", highlight=False, markup=True)
        sys.exit(2)
    except Refused as err:
        errors.print("[red]refused[/red]:", str(err), markup=True, highlight=False)
        sys.exit(2)
    except Unreachable as err:
        errors.print("[red]unreachable[/red]:", str(err), highlight=False)
        errors.print("shipway doctor says what is missing and what to do")
        sys.exit(3)
    except Transient as err:
        errors.print("[red]unreachable[/red]:", str(err), highlight=False)
        sys.exit(3)
    except (ShipwayError, Permanent) as err:
        errors.print("[red]error[/red]:", str(err), highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("interrupted")
        sys.exit(130)
