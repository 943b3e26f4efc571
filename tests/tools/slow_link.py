"""A TCP relay that is as slow as it is told: one bottleneck for every connection, with the small buffers a real one has."""

import socket
import threading
import time


class SlowLink:
    """Lets `bytes_per_s` through from the server; what goes towards it is not slowed."""

    CHUNK = 4096

    def __init__(self, port: int, bytes_per_s: float) -> None:
        self._to = ("127.0.0.1", port)
        self._pause_s = self.CHUNK / bytes_per_s
        self._lock = threading.Lock()  # one link for all connections
        self._free_s = 0.0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self) -> None:
        """From now on everything disappears, and nothing is closed."""
        self._pause_s = 1e6

    def close(self) -> None:
        for connection in (self._listening, *self._sockets):
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.create_connection(self._to)
            for connection in (near, far):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [near, far]
            threading.Thread(target=self._relay, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._relay, args=(far, near, True), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, slow: bool) -> None:
        try:
            while data := source.recv(self.CHUNK):
                if slow:
                    self._take_turn(len(data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def _take_turn(self, length: int) -> None:
        with self._lock:
            now_s = time.monotonic()
            self._free_s = max(self._free_s, now_s) + self._pause_s * length / self.CHUNK
            wait_s = self._free_s - now_s
        time.sleep(wait_s)
