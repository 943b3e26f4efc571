"""The panel's listening socket and its URL. Knows nothing of who may come in."""

import errno
import socket

from station.clock import SystemClock
from station.errors import ConfigError

GOODBYE_NS = 3_000_000_000  # the panel of a killed station keeps the address for about a second
RETRY_NS = 100_000_000


def listen(host: str, port: int) -> socket.socket:
    """A bound, listening socket; waits a moment for a panel that is just ending. Raises ConfigError."""
    clock = SystemClock()
    deadline_ns = clock.now_ns() + GOODBYE_NS
    while True:
        try:
            return _bound(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or clock.now_ns() > deadline_ns:
                raise ConfigError(
                    f"panel.http = {host}:{port}: {error.strerror or error}. "
                    "Give another address with --http HOST:PORT (port 0 takes a free one), or --http off."
                ) from error
        clock.sleep_ns(RETRY_NS)


def page_url(host: str, port: int) -> str:
    """Where a browser finds the page; a wildcard address is named as this machine."""
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening
