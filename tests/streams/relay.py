"""The bad network between a camera and its viewer: serves a live stream over HTTP or TCP, and cuts, stalls or corrupts it.

Reads the camera's bytes all the time, also when nobody watches, so a viewer joins the stream where it is now. Every cut and
every return is stamped. Knows bytes, not pictures.
"""

import contextlib
import random
import socket
import threading
import time

CHUNK = 4096
HEADER = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"


class Relay:
    """A context. `camera_port`: a camera that listens on bare TCP; it is dialled until it answers, also after its death."""

    def __init__(self, camera_port: int, *, http: bool = True, seed: int = 1) -> None:
        self._camera_port = camera_port
        self._http = http
        self._random = random.Random(seed)
        self._listener: socket.socket | None = None
        self._viewer: socket.socket | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self.flows = threading.Event()  # the camera has sent something
        self.stalled = False
        self.flips_per_kb = 0.0
        self.viewers = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/live.ts" if self._http else f"tcp://127.0.0.1:{self.port}"

    def __enter__(self) -> "Relay":
        self.serve()
        pump = threading.Thread(target=self._pump, name="relay-pump", daemon=True)
        pump.start()
        self._threads.append(pump)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def serve(self) -> int:
        """Take viewers (again). Returns the moment, in ns."""
        listener = socket.create_server(("127.0.0.1", self.port), reuse_port=True)
        self._listener = listener
        taker = threading.Thread(target=self._take, args=(listener,), name="relay-take", daemon=True)
        taker.start()
        self._threads.append(taker)
        return time.monotonic_ns()

    def cut(self) -> None:
        """Hang up, and refuse whoever calls, until `serve`."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End the present connection; a new one is taken at once."""
        with self._lock:
            viewer, self._viewer = self._viewer, None
        if viewer is not None:
            with contextlib.suppress(OSError):
                viewer.shutdown(socket.SHUT_RDWR)
            viewer.close()

    def _take(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                viewer, _ = listener.accept()
                viewer.settimeout(1.0)
                if self._http:
                    viewer.recv(4096)
                    viewer.sendall(HEADER)
                self.hang_up()
                self.viewers += 1
                with self._lock:
                    self._viewer = viewer

    def _pump(self) -> None:
        while not self._stopping.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._camera_port), timeout=0.5) as camera:
                    while not self._stopping.is_set():
                        chunk = camera.recv(CHUNK)
                        if not chunk:
                            break
                        self.flows.set()
                        self._send(chunk)
            except OSError:
                self._stopping.wait(0.05)
            if not self._stopping.is_set():
                self.hang_up()  # what has lost its camera hangs up too

    def _send(self, chunk: bytes) -> None:
        with self._lock:
            viewer = self._viewer
        if viewer is None or self.stalled:
            return
        try:
            viewer.sendall(self._bent(chunk))
        except OSError:
            self.hang_up()

    def _bent(self, chunk: bytes) -> bytes:
        """Some bytes flipped, but no sync byte: a demultiplexer would notice that at once."""
        if self.flips_per_kb <= 0:
            return chunk
        bent = bytearray(chunk)
        for _ in range(round(self.flips_per_kb * len(chunk) / 1024 + self._random.random() - 0.5)):
            at = self._random.randrange(len(bent))
            if bent[at] != 0x47:
                bent[at] ^= 1 << self._random.randrange(8)
        return bytes(bent)
