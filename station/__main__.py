"""`station` and `python -m station`."""

from station.cli.root import app


def main() -> None:
    app()


if __name__ == "__main__":
    main()
