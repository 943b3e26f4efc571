"""Takes what the station sends and turns it into what browsers get: the state at once, pictures when they are encoded.

Two threads, so that neither the state nor STOP waits for a JPEG: `Intake` reads, `Encoder` encodes the newest picture of each
camera somebody waits for. Knows the hub, the board and the shared pictures; knows nothing of HTTP.
"""

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from station.clock import SystemClock
from station.panel.live import LiveHub, Packet, StateBoard, encode
from station.panel.pictures import PicturePlace, PictureReader

LOST_PAUSE_NS = 200_000_000
NICENESS = 5


class Intake:
    """Takes the newest message from the station and hands the state to the loop, the pictures to `offer`."""

    def __init__(
        self,
        values: Connection,
        board: StateBoard,
        loop: asyncio.AbstractEventLoop,
        offer: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._values = values
        self._board = board
        self._loop = loop
        self._offer = offer
        self.station_gone = False

    def step(self) -> None:
        try:
            if not self._values.poll(0.2):
                return
            values = json.loads(self._values.recv_bytes())
            pictures = values["pictures"]
            while self._values.poll(0):  # newest wins, of the state and of each camera
                values = json.loads(self._values.recv_bytes())
                pictures |= values["pictures"]
        except (EOFError, OSError):
            self._lose_station()
            return
        self._loop.call_soon_threadsafe(self._board.put, values["state"], values["made_ns"])
        for camera_id, picture in pictures.items():
            self._offer(camera_id, picture)

    def _lose_station(self) -> None:
        if not self.station_gone:
            self.station_gone = True
            self._loop.call_soon_threadsafe(self._board.lose_station)
        SystemClock().sleep_ns(LOST_PAUSE_NS)


class Encoder:
    """One slot per camera, overwritten by the newest picture; encoded only while somebody waits for it.

    Sorting comes before pictures, so this thread gives way to the rest of the machine (on Linux niceness is per thread). It
    does nothing but encode: a thread that gives way while it holds the interpreter would make the others give way with it.
    """

    def __init__(self, hub: LiveHub, loop: asyncio.AbstractEventLoop, max_width_px: int, jpeg_quality: int) -> None:
        self._hub = hub
        self._loop = loop
        self._max_width_px = max_width_px
        self._jpeg_quality = jpeg_quality
        self._reader = PictureReader()
        self._slots: dict[str, dict[str, Any]] = {}
        self._filled = threading.Condition()
        self._humble = False

    def offer(self, camera_id: str, picture: dict[str, Any]) -> None:
        if not self._hub.wanted(camera_id):
            return
        with self._filled:
            self._slots[camera_id] = picture
            self._filled.notify()

    def step(self) -> None:
        self._give_way()
        with self._filled:
            if not self._slots:
                self._filled.wait(0.2)
            waiting, self._slots = self._slots, {}
        for camera_id, picture in waiting.items():
            self._encode(camera_id, picture)

    def _encode(self, camera_id: str, picture: dict[str, Any]) -> None:
        if not self._hub.wanted(camera_id):  # it got the one before: this one would lie there and grow old
            return
        place = PicturePlace.from_json(picture["place"])
        view = self._reader.view(camera_id, place)
        if view is None:
            return
        jpeg = encode(view.bgr, self._max_width_px, self._jpeg_quality)
        if view.intact:
            packet = Packet(camera_id, place.number, picture["facts"], jpeg)
            self._loop.call_soon_threadsafe(self._hub.offer, packet)

    def _give_way(self) -> None:
        if not self._humble and sys.platform == "linux":
            self._humble = True
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
