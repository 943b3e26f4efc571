"""The routes behind their door: what is refused, what is answered, what leaves for the station."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from station.clock import ManualClock
from station.panel.auth import MAX_WRONG_TOKENS_PER_MINUTE, Access, Tokens
from station.panel.live import LiveHub, StateBoard
from station.panel.server import Outbox, Panel, build_app

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # newer starlette would rather have another client than httpx; either will do
    from starlette.testclient import TestClient

TOKENS = Tokens(operator="o" * 32, viewer="v" * 32)
OPERATOR = {"Authorization": f"Bearer {TOKENS.operator}"}
VIEWER = {"Authorization": f"Bearer {TOKENS.viewer}"}
FORM = {"X-Station": "1", "Content-Type": "application/json"}
HOST = "127.0.0.1:8384"
WS = f"ws://{HOST}"


@dataclass
class Bench:
    """A panel without a process: what it sends to the station lands in two lists."""

    client: TestClient
    board: StateBoard
    clock: ManualClock
    stops: list[dict[str, Any]] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    station_listens: bool = True

    def post(self, body: str | dict[str, Any], **headers: str) -> Any:
        text: dict[str, Any] = {"content": body} if isinstance(body, str) else {"json": body}
        return self.client.post("/api/v1/commands", headers={**FORM, **OPERATOR, **headers}, **text)


def make_bench(*, free_to_look: bool) -> Bench:
    clock = ManualClock(10_000_000_000)
    board = StateBoard("Line 3")
    bench: Bench

    def stop(entry: dict[str, Any]) -> bool:
        bench.stops.append(entry)
        return bench.station_listens

    def command(entry: dict[str, Any]) -> bool:
        bench.sent.append(entry)
        return bench.station_listens

    access = Access(TOKENS, 8384, free_to_look)
    app = build_app(Panel(board, LiveHub(), Outbox(stop, command), access, clock))
    client = TestClient(app, base_url=f"http://{HOST}", client=("127.0.0.1", 50000))
    bench = Bench(client, board, clock)
    return bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = make_bench(free_to_look=True)
    with made.client:
        yield made


@pytest.fixture
def plant() -> Iterator[Bench]:
    """Reachable by others: nobody looks without a token."""
    made = make_bench(free_to_look=False)
    with made.client:
        yield made


# -- the page ------------------------------------------------------------------------------------------------------------


def test_the_page_comes_with_everything_it_needs_and_nothing_from_elsewhere(bench: Bench) -> None:
    page = bench.client.get("/")
    assert page.status_code == 200
    for line in page.text.splitlines():
        for mark in ('src="', 'href="'):
            if mark in line:
                path = line.split(mark)[1].split('"')[0]
                assert bench.client.get(path).status_code == 200, path
    assert "http://" not in page.text
    assert "https://" not in page.text


def test_every_answer_forbids_foreign_content(bench: Bench) -> None:
    for path in ("/", "/pages/main.js", "/api/v1/state", "/nothing"):
        headers = bench.client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("name", ["../server.py", "..%2fserver.py", "%2e%2e/auth.py", "nothing.js"])
def test_only_files_of_the_page_are_served(bench: Bench, name: str) -> None:
    assert bench.client.get(f"/pages/{name}").status_code == 404


# -- Host and Origin -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/api/v1/state", "/metrics", "/pages/main.js"])
def test_a_rebound_host_is_refused_everywhere(bench: Bench, path: str) -> None:
    assert bench.client.get(path, headers={"Host": "evil.example:8384"}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "http://evil.example"}, id="foreign origin"),
        pytest.param({"Origin": "null"}, id="sandboxed frame"),
        pytest.param({"Origin": "http://127.0.0.1:9999"}, id="another port"),
        pytest.param({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, id="fetched from another site"),
    ],
)
def test_a_foreign_page_gets_neither_values_nor_commands(bench: Bench, headers: dict[str, str]) -> None:
    assert bench.client.get("/api/v1/state", headers=headers).status_code == 403
    assert bench.post({"command": "stop"}, **headers).status_code == 403
    assert bench.stops == []


def test_a_link_on_another_site_may_open_the_page(bench: Bench) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert bench.client.get("/", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/ws/state", "/ws/live?camera=camera0"])
@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_a_foreign_socket_is_refused_before_it_is_accepted(bench: Bench, path: str, headers: dict[str, str]) -> None:
    with pytest.raises(WebSocketDisconnect) as refused, bench.client.websocket_connect(WS + path, headers=headers):
        pass
    assert refused.value.code == 1008


# -- commands ------------------------------------------------------------------------------------------------------------


def test_stop_and_abort_go_their_own_way_and_everything_else_the_common_one(bench: Bench) -> None:
    bench.board.put({"machine": {"state": "Execute"}}, bench.clock.now_ns())
    for command in ("stop", "abort", "hold"):
        answer = bench.post({"command": command})
        assert answer.status_code == 202
        assert answer.json() == {"sent": command, "state": "Execute"}
    assert [entry["command"] for entry in bench.stops] == ["stop", "abort"]
    assert [entry["command"] for entry in bench.sent] == ["hold"]
    assert bench.sent[0]["from"] == "terminal at 127.0.0.1"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/api/v1/commands?command=stop", "/api/v1/state", "/"])
def test_nothing_is_commanded_by_looking(bench: Bench, method: str, path: str) -> None:
    bench.client.request(method, path, headers={**FORM, **OPERATOR})
    assert bench.stops == bench.sent == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"X-Station": ""}, 403, id="without our header"),
        pytest.param({"Content-Type": "text/plain"}, 415, id="like a form"),
        pytest.param({"Content-Type": "application/x-www-form-urlencoded"}, 415, id="a form"),
        pytest.param({"Authorization": ""}, 403, id="without a token"),
        pytest.param({"Authorization": "Bearer wrong"}, 401, id="wrong token"),
        pytest.param({"Authorization": f"Basic {TOKENS.operator}"}, 401, id="another scheme"),
        pytest.param(VIEWER, 403, id="a viewer"),
    ],
)
def test_a_command_needs_form_and_token(bench: Bench, headers: dict[str, str], status: int) -> None:
    assert bench.post('{"command": "stop"}', **headers).status_code == status
    assert bench.stops == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 422),
        ("[]", 422),
        ('{"command": "explode"}', 422),
        ('{"command": "stop", "also": 1}', 422),
        ('{"command": "acknowledge"}', 422),
        ('{"command": "shelve", "alarm": "a", "minutes": 100000}', 422),
        ('{"command": "stop", "alarm": "' + "x" * 5000 + '"}', 413),
    ],
)
def test_a_malformed_command_is_refused_in_words(bench: Bench, body: str, status: int) -> None:
    answer = bench.post(body)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert bench.stops == bench.sent == []


@pytest.mark.parametrize(
    ("command", "age_s", "status"),
    [
        ("start", 0.5, 202),
        ("start", 2.5, 408),
        ("clear", 60, 408),
        ("start", -9, 408),
        ("stop", 60, 202),
        ("abort", 60, 202),
    ],
)
def test_a_command_that_comes_late_is_void_unless_it_stops(
    bench: Bench, command: str, age_s: float, status: int
) -> None:
    bench.clock.sleep_ns(100_000_000_000)
    asked_ns = bench.clock.now_ns() - round(age_s * 1e9)
    assert bench.post({"command": command, "asked_ns": asked_ns}).status_code == status
    taken = [entry["command"] for entry in bench.stops + bench.sent]
    assert taken == ([command] if status == 202 else [])


def test_a_station_that_does_not_listen_is_said_so(bench: Bench) -> None:
    bench.station_listens = False
    answer = bench.post({"command": "stop"})
    assert answer.status_code == 503
    assert "nothing was done" in answer.json()["error"]
    assert bench.client.get("/api/v1/commands").json()["commands"][0]["taken"] is False


# -- tokens and cookies --------------------------------------------------------------------------------------------------


def test_a_token_is_traded_for_a_cookie_no_script_can_read(bench: Bench) -> None:
    assert bench.client.get("/api/v1/session").json() == {"role": "viewer"}
    answer = bench.client.post("/api/v1/session", json={"token": TOKENS.operator}, headers=FORM)
    assert answer.json() == {"role": "operator"}
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKENS.operator not in cookie
    assert bench.client.get("/api/v1/session").json() == {"role": "operator"}
    assert bench.client.post("/api/v1/commands", json={"command": "stop"}, headers=FORM).status_code == 202


def test_the_record_tells_a_page_from_a_terminal(bench: Bench) -> None:
    bench.client.post("/api/v1/session", json={"token": TOKENS.operator}, headers=FORM)
    bench.client.post("/api/v1/commands", json={"command": "hold"}, headers=FORM)
    bench.post({"command": "hold"})
    assert [entry["from"] for entry in bench.sent] == ["page at 127.0.0.1", "terminal at 127.0.0.1"]


def test_a_cookie_alone_without_our_header_commands_nothing(bench: Bench) -> None:
    bench.client.post("/api/v1/session", json={"token": TOKENS.operator}, headers=FORM)
    assert bench.client.post("/api/v1/commands", json={"command": "stop"}).status_code == 403
    assert bench.stops == []


def test_guessing_tokens_is_slowed_down(bench: Bench) -> None:
    for _ in range(MAX_WRONG_TOKENS_PER_MINUTE):
        assert bench.client.post("/api/v1/session", json={"token": "guess"}, headers=FORM).status_code == 401
    assert bench.client.post("/api/v1/session", json={"token": TOKENS.operator}, headers=FORM).status_code == 429
    bench.clock.advance_ms(61_000)
    assert bench.client.post("/api/v1/session", json={"token": TOKENS.operator}, headers=FORM).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/state", "/api/v1/items", "/api/v1/events", "/api/v1/alarms", "/metrics"])
def test_where_others_can_come_in_nobody_looks_without_a_token(plant: Bench, path: str) -> None:
    assert plant.client.get(path).status_code == 401
    assert plant.client.get(path, headers=VIEWER).status_code == 200
    assert plant.client.get("/").status_code == 200  # the page itself says nothing
    for socket in ("/ws/state", "/ws/live"):
        with pytest.raises(WebSocketDisconnect), plant.client.websocket_connect(WS + socket):
            pass
        with plant.client.websocket_connect(WS + socket, headers=VIEWER):
            pass


# -- values --------------------------------------------------------------------------------------------------------------


def test_the_state_carries_its_age(bench: Bench) -> None:
    assert bench.client.get("/api/v1/state").json()["age_ms"] is None
    bench.board.put({"machine": {"state": "Execute"}}, made_ns=bench.clock.now_ns())
    bench.clock.advance_ms(2500)
    state = bench.client.get("/api/v1/state").json()
    assert state["age_ms"] == 2500
    assert state["station"] == "Line 3"
    assert state["machine"] == {"state": "Execute"}


@pytest.mark.parametrize("origin", [{}, {"Origin": f"http://{HOST}"}])
def test_a_state_socket_answers_a_ping_with_its_clock(bench: Bench, origin: dict[str, str]) -> None:
    with bench.client.websocket_connect(WS + "/ws/state", headers=origin) as socket:
        assert socket.receive_json()["station"] == "Line 3"
        socket.send_json({"page_ms": 12.5})
        while "echo" not in (message := socket.receive_json()):
            pass
        assert message["echo"] == {"page_ms": 12.5, "received_ns": bench.clock.now_ns()}


def test_metrics_say_what_the_state_says(bench: Bench) -> None:
    values = {
        "machine": {"state": "Execute", "number": 6},
        "counts": {"ejected": 5, "passed": 3, "missed": 2, "in_flight": 1, "missed_by_reason": {'la"te': 2}},
        "latency_ms": {"p50": 31.0, "p99": None, "budget": 100},
        "cameras": [{"id": "camera0", "live": False, "fps": 0.0, "dropped": 4}],
    }
    bench.board.put(values, bench.clock.now_ns())
    lines = bench.client.get("/metrics").text.splitlines()
    assert "station_up 1" in lines
    assert 'station_items_total{outcome="ejected",reason="none"} 5' in lines
    assert 'station_items_total{outcome="missed",reason="la\\"te"} 2' in lines
    assert 'station_capture_to_scheduled_seconds{quantile="0.5"} 0.031' in lines
    assert 'station_camera_live{camera="camera0"} 0' in lines
    assert not any("None" in line for line in lines)
    bench.clock.advance_ms(3000)
    assert "station_up 0" in bench.client.get("/metrics").text.splitlines()
