"""A live camera made of ffmpeg: clock pictures at 30 fps, coded and served as a network camera would.

Knows ffmpeg's command line and when each picture was painted. Knows nothing of who watches.
"""

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from enum import Enum

from tests.streams.clock_picture import HEIGHT_PX, WIDTH_PX, paint

FPS = 30
FFMPEG = shutil.which("ffmpeg")


class Serve(Enum):
    """How ffmpeg hands its stream out. A listening ffmpeg serves one viewer and ends with him."""

    HTTP = "http"  # MPEG-TS over HTTP, listening
    TCP = "tcp"  # MPEG-TS over bare TCP, listening
    UDP = "udp"  # MPEG-TS sent to a port
    MJPEG = "mjpeg"  # pictures over HTTP, as cheap cameras do: without time stamps


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class FFmpegCamera:
    """A context: pictures flow from entering to leaving, or until `kill`."""

    def __init__(self, serve: Serve, port: int | None = None, key_every: int = 15, first: int = 0) -> None:
        self.serve = serve
        self.port = port or free_port()
        self.painted_ns: dict[int, int] = {}
        self._key_every = key_every
        self._next = first
        self._process: subprocess.Popen[bytes] | None = None
        self._painter: threading.Thread | None = None
        self._stopping = threading.Event()
        self._paused = threading.Event()

    @property
    def url(self) -> str:
        scheme = "http" if self.serve is Serve.MJPEG else self.serve.value
        return f"{scheme}://127.0.0.1:{self.port}" + ("/" if scheme == "http" else "")

    def __enter__(self) -> "FFmpegCamera":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Begin, or begin again after `kill`: numbers go on where they stopped."""
        assert FFMPEG is not None, "ffmpeg is not installed"
        size = f"{WIDTH_PX}x{HEIGHT_PX}"
        words = [FFMPEG, "-v", "quiet", "-f", "rawvideo", "-pix_fmt", "gray", "-s", size, "-r", str(FPS), "-i", "-"]
        self._process = subprocess.Popen([*words, *self._output()], stdin=subprocess.PIPE)
        self._stopping.clear()
        self._painter = threading.Thread(target=self._paint, args=(self._process,), name="painter", daemon=True)
        self._painter.start()

    def kill(self) -> None:
        """As a power cut would."""
        self._stopping.set()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._painter is not None:
            self._painter.join(5)

    def freeze(self, on: bool) -> None:
        """The sensor hangs: the same picture goes on being sent."""
        (self._paused.set if on else self._paused.clear)()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _output(self) -> list[str]:
        if self.serve is Serve.MJPEG:
            return ["-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p", "-f", "mpjpeg", "-listen", "1", self.url]
        coded = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"]
        coded += ["-g", str(self._key_every), "-f", "mpegts", "-flush_packets", "1"]
        match self.serve:
            case Serve.HTTP:
                return [*coded, "-listen", "1", self.url]
            case Serve.TCP:
                return [*coded, f"{self.url}?listen=1"]
            case _:
                return [*coded, f"{self.url}?pkt_size=1316"]

    def _paint(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        due = time.monotonic()  # ffmpeg counts pictures and calls it time: what was painted late is made up for
        with contextlib.suppress(OSError, ValueError):
            while not self._stopping.is_set():
                number = self._next
                picture = paint(number).tobytes()
                self.painted_ns.setdefault(number, time.monotonic_ns())
                process.stdin.write(picture)
                process.stdin.flush()
                self._next += 0 if self._paused.is_set() else 1
                due += 1 / FPS
                time.sleep(max(0.0, due - time.monotonic()))
        with contextlib.suppress(OSError):
            process.stdin.close()
