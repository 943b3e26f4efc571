"""`station bench train`: flags in, one comparison out. Everything heavy is imported inside."""

from typing import Annotated

import typer

from station.cli.output import give, say, told
from station.cli.training_commands import DataArgument, DeviceOption, FramingOption, JsonFlag, share


def register(bench: typer.Typer) -> None:
    bench.command("train")(bench_train_command)


@told
def bench_train_command(
    data: DataArgument,
    recipe: Annotated[str, typer.Option(help="or, ortl")] = "or",
    fraction: Annotated[float, typer.Option(min=0.005, max=1, help="Of the pictures, for a quick look")] = 1.0,
    plain_epochs: Annotated[
        int, typer.Option(min=1, max=15, help="Of the plain procedure; the rest is extrapolated")
    ] = 15,
    backbone: Annotated[str | None, typer.Option(help="For ortl: weights of a ResNet-18, or `imagenet`")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    device: DeviceOption = "auto",
    framing: FramingOption = None,
    as_json: JsonFlag = False,
) -> None:
    """The plain tutorial procedure and ours on the same pictures and machine: seconds, accuracy, ratio."""
    from training.bench import BenchJob, bench_train

    result = bench_train(BenchJob(data, recipe, fraction, plain_epochs, backbone, seed, device, framing), say)
    plain, ours = result["plain"], result["ours"]
    lines = [
        f"plain: {plain['seconds_of_15_epochs']:.0f} s, {plain['pictures_per_s']} pictures/s, {share(plain['accuracy'])}",
        f"ours:  {ours['seconds']:.0f} s, {ours['pictures_per_s']} pictures/s, {share(ours['accuracy'])}",
        f"ratio {result['ratio']}, aim {result['aim']}",
        *(f"extrapolated: {text}" for text in result["extrapolated"]),
    ]
    give(result, "\n".join(lines), as_json)
