"""`station gates`: open each gate once with the belt stopped, and say what became of every command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from station.cli import output
from station.cli.ports_commands import bench_at
from station.clock import SystemClock
from station.config import RELAY, StationConfig, config_home, find_config, load_config
from station.errors import ConfigError, ControllerError

if TYPE_CHECKING:
    from station.commissioning.link_bench import ControllerBench, GateResult

GREETING_S, LOOK_S = 4.0, 0.3
STANDS_COUNTS_PER_S = 2.0  # what an encoder at rest may dither

gates = typer.Typer(no_args_is_help=True, help="Exercise the gates.")


@gates.command("test")
@output.told
def gates_test(
    port: Annotated[
        str | None, typer.Option(help="Device, VID:PID[:SERIAL], auto or virtual; default: the configuration's")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Configuration that holds the gates")] = None,
    gate: Annotated[list[int] | None, typer.Option(help="Only this gate; repeatable")] = None,
    times: Annotated[int, typer.Option(min=1, max=100, help="How often each opens")] = 2,
    yes: Annotated[bool, typer.Option("--yes", help="The belt stands and nobody is near the gates")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout")] = False,
) -> None:
    """Open each gate for 0.1 s, one after the other, with the belt stopped: commanded, acknowledged, fired, late."""
    from station.app import device_config
    from station.commissioning.link_bench import exercise_gates

    path = find_config(config, config_home())
    if path is None:
        raise ConfigError(
            "the gates are described in the configuration and there is none; `station config init` writes one"
        )
    settings = load_config(path, config_home())
    wanted = gate or list(range(len(settings.gates)))
    wrong = [str(each) for each in wanted if not 0 <= each < len(settings.gates)]
    if wrong or not settings.gates:
        raise ConfigError(
            f"--gate {' '.join(wrong)}: the configuration {path} has gates 0 to {len(settings.gates) - 1}"
        )
    if not output.confirmed("The gates will MOVE. Does the belt stand and is nobody near them?", yes):
        raise ControllerError("nothing was moved")
    link = settings.link
    wanted_port = port or link.port or "auto"
    with (
        _relay_bench(settings, wanted_port)
        if wanted_port.startswith(RELAY)
        else bench_at(wanted_port, link.max_sync_bound_us, link.baud) as bench
    ):
        _belt_must_stand(bench)
        results = exercise_gates(bench, device_config(settings), wanted, times)
    _give_gates(results, as_json)


def _belt_must_stand(bench: "ControllerBench") -> None:
    """As far as an encoder can tell; without one the person who was asked is believed."""
    controller = bench.controller
    bench.until(lambda: controller.capabilities() is not None, GREETING_S)
    capabilities = controller.capabilities()
    if capabilities is None or not capabilities.has_count:
        return
    bench.until(lambda: controller.count_at(bench.now_ns()) is not None, GREETING_S)
    bench.run(LOOK_S)
    count = controller.count_at(bench.now_ns())
    if count is not None and abs(count.counts_per_s) > STANDS_COUNTS_PER_S:
        raise ControllerError(f"the belt moves ({count.counts_per_s:.0f} counts/s): stop it first. Nothing was moved")


def _relay_bench(config: StationConfig, port: str) -> Any:
    from contextlib import closing

    from station.app import open_relay_board
    from station.commissioning.link_bench import ControllerBench

    return closing(ControllerBench(open_relay_board(config, port.removeprefix(RELAY)), SystemClock()))


def _give_gates(results: "list[GateResult]", as_json: bool) -> None:
    rows = [
        {
            "gate": r.gate,
            "commanded": r.commanded,
            "acknowledged": r.acknowledged,
            "fired": r.fired,
            "late": r.late,
            "worst_error_us": r.worst_error_us,
            "good": r.good,
            "failures": r.failures,
        }
        for r in results
    ]
    if as_json:
        output.data_json({"schema": "station.gates/1", "gates": rows})
    else:
        cells = [["; ".join(v) if isinstance(v, list) else v for v in row.values()] for row in rows]
        output.data(output.table(list(rows[0]), cells))
    if not all(r.good for r in results):
        output.say(
            "Not every gate did what it was told. A gate that fired but did not move is wired or supplied wrongly."
        )
        raise typer.Exit(output.CHECK_FAILED)
