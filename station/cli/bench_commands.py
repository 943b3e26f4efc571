"""`station bench`: how fast the model alone is here, and how much of it the whole loop keeps."""

from pathlib import Path
from typing import Annotated, Any

import typer

from station.cli.output import data_json, give, say, table, told

app = typer.Typer(help="Measure this machine.", invoke_without_command=True)

ConfigFlag = Annotated[Path | None, typer.Option("--config", help="Configuration file; default: the virtual line's")]
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on stdout")]


@app.callback()
@told
def bench(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="A .safetensors file, or `default` for the model that ships")] = "default",
    backend: Annotated[
        str, typer.Option(help="auto, or one engine by name; `all` compares the engines alone")
    ] = "auto",
    batch: Annotated[
        int, typer.Option(min=1, max=16, help="Looks per call and per frame; 8 and more are comparable")
    ] = 16,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Loop and bare engine in turn, this often")] = 8,
    threads: Annotated[int, typer.Option(min=0, max=64, help="0: as configured")] = 0,
    config: ConfigFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Looks per second of the bare model and of the whole loop on the same frames, and each stage's time."""
    if context.invoked_subcommand is not None:
        return
    from station.app import set_thread_counts
    from station.config import builtin_config, config_home, load_config
    from station.recognition.artifact import load_artifact

    station = load_config(config, config_home()) if config is not None else builtin_config("virtual")
    threads = threads or station.recognition.threads
    set_thread_counts(threads)
    loaded = load_artifact(model)
    if backend == "all":
        _compare(loaded, batch, threads, as_json)
        return
    from station.clock import SystemClock
    from station.commissioning.throughput import BenchPlan
    from station.commissioning.throughput import bench as measure
    from station.recognition.backends.choice import choose_backend
    from station.recognition.backends.contract import SIZES

    chosen = choose_backend(backend, loaded, threads=threads, sizes=(*SIZES, batch))
    for line in chosen.passed_over:
        say(f"passed over: {line}")
    figures = measure(chosen.backend, loaded.info, station, BenchPlan(batch=batch, rounds=rounds), SystemClock())
    figures = {**figures, "threads": threads, "passed_over": list(chosen.passed_over)}
    give(figures, _in_words(figures), as_json)


def _compare(loaded: Any, batch: int, threads: int, as_json: bool) -> None:
    from station.clock import SystemClock
    from station.commissioning.throughput import bare_model
    from station.errors import ModelError
    from station.recognition.backends.choice import ORDER, choose_backend
    from station.recognition.backends.contract import SIZES

    engines = []
    for name in ORDER:
        try:
            chosen = choose_backend(name, loaded, threads=threads, sizes=(*SIZES, batch))
        except ModelError as error:
            say(f"passed over: {name}: {error}")
            continue
        figures = bare_model(chosen.backend, loaded.info.input_px, batch, 20, SystemClock())
        engines.append({**figures, "difference": round(chosen.worst_difference, 5)})
    if as_json:
        data_json({"schema": "station.bench_engines/1", "threads": threads, "engines": engines})
        return
    rows = [(e["backend"], e["p50_ms"], e["p99_ms"], e["looks_per_s"], f"{e['difference']:.2%}") for e in engines]
    give(engines, table(("engine", f"p50 ms ({batch} looks)", "p99 ms", "looks/s", "differs by"), rows), as_json)


def _in_words(figures: dict[str, Any]) -> str:
    stages = table(
        ("stage", "p50 ms", "p99 ms"),
        [(name, times["p50_ms"], times["p99_ms"]) for name, times in figures["stages"].items()],
    )
    return (
        f"{figures['backend']} on {figures['device']}, {figures['input_px']} px, "
        f"{figures['looks_per_frame']} looks per frame\n{stages}\n"
        f"bare model {figures['bare_model_looks_per_s']} looks/s, whole loop {figures['pipeline_looks_per_s']} looks/s, "
        f"ratio {figures['ratio']}"
    )


@app.command("capacity")
@told
def capacity_command(
    for_: Annotated[str, typer.Option("--for", help="How long each feed is tried")] = "20s",
    config: ConfigFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """The highest feed that this machine carries with two looks an item and 100 ms, and the stage that gives way above it."""
    from station.capacity import capacity
    from station.cli.demo_commands import seconds
    from station.config import builtin_config, config_home, load_config

    station = load_config(config, config_home()) if config is not None else builtin_config("virtual")
    figures = capacity(station, seconds(for_), say)
    words = (
        f"{figures['items_per_min']} items/min hold on {figures['backend']}; above it gives way: {figures['gives_way']}"
    )
    give(figures, words, as_json)


@app.command("link")
@told
def link_command(
    port: Annotated[str, typer.Option(help="virtual, auto, a device, VID:PID or VID:PID:SERIAL")] = "virtual",
    for_: Annotated[str, typer.Option("--for", help="How long commands are sent")] = "20s",
    rate: Annotated[float, typer.Option(min=1, max=1000, help="Diverts a second")] = 100.0,
    config: ConfigFlag = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether the gates of a real port may move")] = False,
    as_json: JsonFlag = False,
) -> None:
    """How prompt the link is: enqueued to written, enqueued to acknowledged, and the share of a core it takes."""
    from firmware_bridge.discovery import choose
    from firmware_bridge.serial_port import PortSettings, SerialTransport
    from station.app import device_config
    from station.cli.demo_commands import seconds
    from station.cli.output import confirmed
    from station.clock import SystemClock
    from station.commissioning.link_bench import device_at
    from station.commissioning.link_figures import LinkRun
    from station.config import builtin_config, config_home, load_config

    station = load_config(config, config_home()) if config is not None else builtin_config("virtual")
    if port != "virtual" and not confirmed(
        f"Every gate behind {port} will move. Belt stopped, air on, hands out?", yes
    ):
        raise typer.Exit(1)
    clock, settings = SystemClock(), PortSettings(station.link.baud)
    bound_us = max(station.link.max_sync_bound_us, 20_000) if port == "virtual" else station.link.max_sync_bound_us
    with device_at(port, clock) as device:
        transport = SerialTransport(choose(device, clock.now_ns, settings), settings)
        figures = LinkRun(transport, device_config(station), clock, bound_us).measure(rate, seconds(for_))
    rows = [
        (name, spread["p50"], spread["p99"], spread["max"])
        for name in ("written_ms", "acknowledged_ms")
        if (spread := figures[name]) is not None
    ]
    words = table(("enqueued to, ms", "p50", "p99", "max"), rows)
    longest_ms = max(figures["longest_call_ms"].values())
    cost = f"{figures['cpu_percent']} % of a core, longest call {longest_ms} ms"
    give(figures, f"{words}\n{figures['diverts_per_s']} diverts/s, {cost}", as_json)
