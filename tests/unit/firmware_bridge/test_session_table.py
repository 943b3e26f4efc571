"""Every message in every state, every input in every state: nothing raises, and the state moves only as the table says."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge import wire
from firmware_bridge.codec import Frame, encode_frame
from firmware_bridge.conversation import SessionSettings
from firmware_bridge.session import Session
from firmware_bridge.states import IN_SESSION, LINK_STATE, NEXT, Input, State
from tests.unit.firmware_bridge.bench import CONFIG, MS, Bench
from tests.unit.firmware_bridge.test_wire import GOLDEN

STATUS = wire.Status(1, True, False, 0, 0, 0, 256, 0, 0, 0, 0, 5000, 7)
FROM_DEVICE: list[wire.Message] = [
    STATUS,
    STATUS._replace(armed=False, disarm_reason=4),
    STATUS._replace(armed=False, disarm_reason=99),
    wire.Answer(77, 0, 1),
    wire.Answer(77, 200, 1),
    wire.Ack(0x04, 0, 0),
    wire.Ack(0x04, 0, 6),
    wire.Ack(0x03, 0, 1),
    wire.ConfigReply(5, 0, 255),
    wire.ConfigReply(5, 1, 3),
    wire.SyncReply(0, 1000, 1000, 5),
    wire.SyncReply(10**18, 5, 1, 5),
    wire.Encoder(-(2**63), 2**64 - 1),
    wire.Events(1, ()),
    wire.Events(1, tuple(wire.Event(kind, 9, 77, 2**64 - 1, 2**63 - 1, 99) for kind in (1, 2, 3))),
    wire.Events(2**32 - 1, (wire.Event(200, 0, 0, 0, 0, 0),)),
    *[message for message, kind, _ in GOLDEN],
]


def in_state(state: State) -> Session:
    """A copy of a session brought there by what brings it there in life."""
    return deepcopy(_lived_to(state))


@cache
def _lived_to(state: State) -> Session:
    bench = Bench(rearm=False)
    session = bench.session
    if state is State.CLOSED:
        return session
    if state is State.GREETING:
        session.opened(bench.now_ns)
        return session
    if state is State.CONFIGURING:
        while session.state is not State.CONFIGURING:
            bench.now_ns += MS
            bench.poll()
        return session
    if state is State.SYNCING:
        session.settings = SessionSettings(sync_bound_us=1)
    bench.run(0.3)
    if state is State.ARMED:
        bench.controller.arm()
    if state is State.LOST:
        bench.cable.unplug()
    bench.run(0.3)
    return session


@pytest.mark.parametrize("state", State)
def test_every_state_is_reached_in_life(state: State) -> None:
    assert in_state(state).state is state


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("ours", [True, False], ids=["our session", "another session"])
def test_any_message_in_any_state_moves_it_only_along_the_table(state: State, ours: bool) -> None:
    reachable = {state} | {after for (before, _), after in NEXT.items() if before is state}
    for message in FROM_DEVICE:
        session = in_state(state)
        foreign = session.foreign
        session_id = session.greeting.session_id if ours else 12345
        frame = Frame(wire.type_of(type(message)), 0, session_id, wire.encode(message))
        session.receive(encode_frame(frame), 2 * 10**9)
        assert session.state in reachable, message
        if not ours and not isinstance(message, wire.HelloReply):
            assert session.state is state, message
            assert session.foreign == foreign + 1, message


@pytest.mark.parametrize("state", [state for state in State if state in IN_SESSION])
@pytest.mark.parametrize(
    ("nonce", "other_boot", "after"),
    [
        pytest.param("none", False, State.LOST, id="it knows no session"),
        pytest.param("none", True, State.LOST, id="it knows no session and has restarted"),
        pytest.param("ours", True, State.LOST, id="it has restarted"),
        pytest.param("ours", False, None, id="our answer, said twice"),
        pytest.param("foreign", False, None, id="an answer to somebody else"),
        pytest.param("foreign", True, None, id="another device's answer to somebody else"),
    ],
)
def test_a_greeting_in_session_ends_it_only_where_it_speaks_of_this_session(
    state: State, nonce: str, other_boot: bool, after: State | None
) -> None:
    session = in_state(state)
    peer = session.greeting.peer
    assert peer is not None
    nonces = {"none": 0, "ours": session.greeting._nonce, "foreign": session.greeting._nonce ^ 1}
    reply = peer._replace(nonce=nonces[nonce], boot_id=peer.boot_id + other_boot)
    foreign = session.foreign
    session.receive(encode_frame(Frame(wire.type_of(wire.HelloReply), 0, 0, wire.encode(reply))), session.heard_ns + MS)
    assert session.state is (after or state)
    assert session.foreign == foreign + (nonce == "foreign")


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.arm(),
        lambda s: s.disarm(),
        lambda s: s.stop(),
        lambda s: s.set_permit(True),
        lambda s: s.renew_lease(2**40),
        lambda s: s.cancel_all(2 * 10**9),
        lambda s: s.clear_fault(),
        lambda s: s.tick(2 * 10**9),
        lambda s: s.tick(0),
        lambda s: s.closed(2 * 10**9, "test"),
        lambda s: s.port_refused(2 * 10**9, "test"),
        lambda s: s.abandon(2 * 10**9),
    ],
    ids=[
        "arm",
        "disarm",
        "stop",
        "permit",
        "lease",
        "cancel",
        "clear",
        "tick",
        "early tick",
        "closed",
        "refused",
        "abandon",
    ],
)
def test_the_station_may_ask_for_anything_in_any_state(state: State, call: Callable[[Session], None]) -> None:
    session = in_state(state)
    call(session)
    session.tick(3 * 10**9)
    session.take_replies()


def test_the_table_is_whole() -> None:
    """Each state can be left, each input leads somewhere, and the port can be lost from everywhere."""
    for state in State:
        assert any(before is state for before, _ in NEXT)
        assert state in LINK_STATE
    assert {what for _, what in NEXT} == set(Input)
    for state in IN_SESSION:
        assert NEXT[state, Input.CLOSED] is NEXT[state, Input.SILENT] is NEXT[state, Input.RESTARTED] is State.LOST
    # Only READY leads to ARMED, and only an acknowledgement does it.
    assert [pair for pair, after in NEXT.items() if after is State.ARMED] == [(State.READY, Input.ARMED)]


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(FROM_DEVICE), st.booleans(), st.integers(0, 400)), max_size=30),
    st.integers(0, 2**32),
)
def test_no_conversation_however_absurd_raises(talk: list[tuple[wire.Message, bool, int]], seed: int) -> None:
    session = Session(rng=Random(seed))
    session.configure(CONFIG, 0)
    session.opened(0)
    session.arm()
    now_ns = 0
    for message, ours, wait_ms in talk:
        now_ns += wait_ms * MS
        session_id = session.greeting.session_id if ours else 0
        if isinstance(message, wire.HelloReply) and ours:
            message = message._replace(nonce=session.greeting._nonce)
        session.receive(encode_frame(Frame(wire.type_of(type(message)), 0, session_id, wire.encode(message))), now_ns)
        session.tick(now_ns)
        assert len(session.outbox) < 6000
        session.outbox.clear()
    session.take_replies()
