"""Every error a person can meet, as one small tree.

    StationError (1)
    ├── ConfigError (2)       a flag, a file, a key, a value
    ├── CameraError (3)       no picture, or not the one that was asked for
    │   └── CameraLost        there was one; capture reconnects
    ├── ControllerError (4)   no microcontroller, or not one to be trusted
    └── ModelError (5)        no model, a damaged one, a failing GPU

The number is the exit code when the error ends a start (README, "Exit codes"). A message says what, which value,
and the remedy. Knows nothing of how errors are shown.
"""


class StationError(Exception):
    exit_code = 1


class ConfigError(StationError):
    exit_code = 2


class CameraError(StationError):
    exit_code = 3


class CameraLost(CameraError):
    """A source that worked stopped giving frames."""


class ControllerError(StationError):
    exit_code = 4


class ModelError(StationError):
    exit_code = 5
