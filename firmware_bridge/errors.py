"""What can go wrong between host and microcontroller. Knows nothing of the station's exit codes.

BridgeError
├── PortError        the port cannot be opened, is taken, or is gone
├── ProtocolError    the peer does not speak this protocol, or another version of it
├── ConfigRefused    the device does not hold the wanted gate configuration; says which value
├── QueueFull        more commands without a final reply than the bridge holds: a fault of the caller
└── CoreMissing      the C core was not built into this installation
"""


class BridgeError(Exception):
    pass


class PortError(BridgeError):
    pass


class ProtocolError(BridgeError):
    pass


class ConfigRefused(BridgeError):
    pass


class QueueFull(BridgeError):
    pass


class CoreMissing(BridgeError):
    pass
