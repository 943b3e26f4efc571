"""The program's commands, gathered from their families. Nothing heavy is imported here."""

from typing import Annotated

import typer

from station.cli import (
    bench_commands,
    calibrate_commands,
    camera_commands,
    config_commands,
    control_commands,
    data_render,
    demo_commands,
    doctor_commands,
    gates_commands,
    history_commands,
    ports_commands,
    replay_commands,
    run_commands,
    service_commands,
    training_bench,
    training_commands,
)

app = typer.Typer(
    name="station",
    help="Real-time camera sorting station controller.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data = typer.Typer(no_args_is_help=True, help="Training data: render, check, split.")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"station {version('station')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version")
    ] = False,
) -> None:
    """Sees items on a conveyor, classifies them, and fires the right gate at the right millimetre."""


app.command()(run_commands.run)
app.command()(demo_commands.demo)
app.command()(replay_commands.replay)
app.command()(doctor_commands.doctor)
app.add_typer(config_commands.app, name="config")
app.add_typer(camera_commands.app, name="cameras")
app.add_typer(calibrate_commands.app, name="calibrate")
app.add_typer(ports_commands.ports, name="ports")
app.add_typer(gates_commands.gates, name="gates")
control_commands.register(app)
app.add_typer(service_commands.service, name="service")
app.add_typer(bench_commands.app, name="bench")
app.add_typer(data, name="data")
history_commands.register(app)
training_commands.register(app, data)
training_bench.register(bench_commands.app)
data.command("render")(data_render.render)
app.command("support-bundle")(doctor_commands.support_bundle)
