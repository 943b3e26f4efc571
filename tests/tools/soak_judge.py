"""What was broken in a life, by the device's own edges and answers. Knows no wire and no host but its replies."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from firmware_bridge import wire
from firmware_bridge.messages import Fired, MissReason, NotFired, Refused
from firmware_bridge.virtual_device import Edge
from tests.tools.soak_record import Boot, Key
from tests.tools.soak_world import World
from tests.unit.firmware_bridge.bench import CLOSING_MS, CONFIG, GATE, MS, OPENING_MS

LATE_US = CONFIG.max_late_us
LEASE_NS = CONFIG.lease_ms * MS
FARTHEST_LEAD = 200  # counts: no belt of a life is fast enough for more
ANSWER_NS = 5 * MS  # an answer is read off the device this much after it was given, at most
RATE_SPAN_NS = 30 * MS
BELT_ACCEL = 20_000.0  # counts/s2, the hardest the belt of a life does


@dataclass(frozen=True, slots=True)
class Broken:
    kind: str  # double, wrong, late, unaccounted, other
    what: str
    command_id: int | None = None


_BUCKET = {wire.MODE_TIME: 1_000_000, wire.MODE_COUNT: 4096}  # us, counts: no window is longer


class _Index:
    """The commands a device took, found by where their windows begin."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._found: dict[tuple[int, int, int, int], list[tuple[Key, wire.Divert]]] = {}
        for boot in world.device.boots:
            for key in boot.taken():
                self._add(boot, key, boot.diverts[key])

    def _add(self, boot: Boot, key: Key, divert: wire.Divert) -> None:
        bucket = divert.start // _BUCKET[divert.mode]
        for gate in range(len(CONFIG.gates)):
            if divert.gate_mask >> gate & 1:
                self._found.setdefault((boot.began_ns, gate, divert.mode, bucket), []).append((key, divert))

    def near(self, edge: Edge, since_ns: int | None = None) -> list[tuple[Key, wire.Divert]]:
        """Those that may have to do with this edge; one that a restart makes belongs to the life that began at `since_ns`."""
        boot = self._world.device.boot_at(edge.at_ns if since_ns is None else since_ns)
        places = [(wire.MODE_TIME, edge.at_us // 1_000_000), (wire.MODE_COUNT, edge.count // 4096)]
        return [
            each
            for mode, bucket in places
            for n in (bucket - 1, bucket, bucket + 1)
            for each in self._found.get((boot.began_ns, edge.gate, mode, n), ())
        ]


def judge(world: World) -> list[Broken]:
    index = _Index(world)
    return [
        *[Broken("other", each) for each in world.broken],
        *_replies(world),
        *_reports(world),
        *_edges(world, index),
        *_at_the_end(world, index),
    ]


def _replies(world: World) -> list[Broken]:
    """Every command has one end, and it is what the device says became of it."""
    problems = []
    fired = _ids(world, lambda boot: [k for k, events in boot.ends.items() if events[0].kind == wire.EVENT_FIRED])
    taken = _ids(world, Boot.taken)
    for command_id in world.commands:
        final = world.finals.get(command_id)
        if final is None:
            if command_id not in world.orphans:
                problems.append(Broken("unaccounted", f"command {command_id} has no final reply", command_id))
        elif isinstance(final, Fired):
            if command_id not in fired:
                problems.append(Broken("wrong", f"{final}: the device reports no such thing", command_id))
            if final.on_error_us > LATE_US:
                problems.append(Broken("late", f"{final}: later than {LATE_US} us", command_id))
        elif isinstance(final, NotFired | Refused) and command_id in fired:
            problems.append(Broken("wrong", f"{final}: the device has fired it", command_id))
        elif isinstance(final, Refused) and command_id in taken:
            problems.append(Broken("wrong", f"{final}: the device has taken it", command_id))
    return problems


def _ids(world: World, of: Callable[[Boot], Iterable[Key]]) -> set[int]:
    return {key[1] for boot in world.device.boots for key in of(boot) if key[0] in world.sessions}


def _reports(world: World) -> list[Broken]:
    """What a device took it has reported once, unless it was restarted or given to another host first."""
    problems = []
    for boot in world.device.boots:
        for key, events in boot.ends.items():
            if len(events) > 1:
                problems.append(Broken("double", f"command {key[1]} was reported {len(events)} times", key[1]))
        if boot is world.device.boot:
            missing = [k for k in boot.taken() if k not in boot.ends and k[0] == boot.session]
            problems += [Broken("unaccounted", f"command {k[1]} was taken and never reported", k[1]) for k in missing]
    return problems


def _edges(world: World, index: _Index) -> list[Broken]:
    problems: list[Broken] = []
    for gate in range(len(CONFIG.gates)):
        edges = [edge for edge in world.edges if edge.gate == gate]
        used: set[tuple[int, Key]] = set()
        for n, edge in enumerate(edges):
            if edge.on:
                problems += _on_edge(world, index, edge, used)
            elif n and edges[n - 1].on:
                problems += _off_edge(world, index, edges[n - 1], edge)
    return problems


def _on_edge(world: World, index: _Index, edge: Edge, used: set[tuple[int, Key]]) -> list[Broken]:
    """Each opening has a command of its own: the earliest among those that may begin there."""
    boot = world.device.boot_at(edge.at_ns)
    known = [each for each in index.near(edge) if boot.answered_ns.get(each[0], 0) <= edge.at_ns + ANSWER_NS]
    owners = [(divert.start, key) for key, divert in known if _begins(world, divert, edge)]
    if not owners:
        return [Broken("wrong", f"{edge}: no command that was taken begins there")]
    free = [(start, key) for start, key in owners if (boot.began_ns, key) not in used]
    if not free:
        return [Broken("double", f"{edge}: its command has opened the gate before", owners[0][1][1])]
    used.add((boot.began_ns, min(free)[1]))
    return []


def _begins(world: World, divert: wire.Divert, edge: Edge) -> bool:
    if divert.mode == wire.MODE_TIME:
        return 0 <= edge.at_us - (divert.start - OPENING_MS * 1000) <= LATE_US
    if abs(edge.count - divert.start) > FARTHEST_LEAD:
        return False
    speed = abs(world.belt.speed(edge.at_ns))
    if any(0 <= edge.at_ns - leap_ns < RATE_SPAN_NS for leap_ns in world.clock_leaps):
        speed_slack = speed * OPENING_MS / 1000  # the rate was measured over a clock that leapt
        return abs(edge.count - divert.start) <= 2 * speed_slack + _count_slack(speed)
    return abs(edge.count - (divert.start - speed * OPENING_MS / 1000)) <= _count_slack(speed)


def _count_slack(speed: float) -> float:
    """The device's rate is 8 to 16 ms old; then what late may be, and rounding."""
    return 3 + speed * LATE_US * 1e-6 + BELT_ACCEL * 0.016 * OPENING_MS / 1000 + 0.02 * speed * OPENING_MS / 1000


def _off_edge(world: World, index: _Index, on: Edge, off: Edge) -> list[Broken]:
    problems = []
    device, stalled_ns = world.device, _stalls_within(world, on.at_ns, off.at_ns)
    leapt = any(on.at_ns - RATE_SPAN_NS < at_ns <= off.at_ns + 2 * MS for at_ns in world.clock_leaps)
    spare_ns = 1 * MS + stalled_ns
    hold_us = (off.at_ns - on.at_ns) // 1000 if leapt else (off.at_us - on.at_us) % 2**64
    if hold_us > GATE.max_hold_us + stalled_ns // 1000 + (1000 if leapt else 1):
        problems.append(Broken("wrong", f"{on} .. {off}: held longer than the gate may be"))
    renewed = device.boot_at(on.at_ns).renewed_ns
    last = bisect_right(renewed, off.at_ns) - 1
    if last < 0 or off.at_ns > renewed[last] + LEASE_NS + 5 * MS + spare_ns:
        problems.append(Broken("wrong", f"{off}: the lease had ended long before"))
    if not leapt and not any(
        _still_covers(world, divert, on, off, spare_ns) for _, divert in index.near(off, on.at_ns)
    ):
        problems.append(Broken("wrong", f"{on} .. {off}: outside every window"))
    return problems


def _still_covers(world: World, divert: wire.Divert, on: Edge, off: Edge, spare_ns: int) -> bool:
    """The gate was open no longer than this command wants it; it may have joined an earlier one."""
    if divert.mode == wire.MODE_TIME:
        begin_us = divert.start - OPENING_MS * 1000
        end_us = max(divert.end - CLOSING_MS * 1000, begin_us + LATE_US + GATE.min_hold_us)
        return begin_us <= off.at_us <= end_us + spare_ns // 1000
    if not world.belt.was_steady(on.at_ns - 20 * MS, off.at_ns):
        return True  # what a standing or turning belt costs is the maximum hold's business
    speed = abs(world.belt.speed(off.at_ns))
    slack = _count_slack(speed) + speed * spare_ns * 1e-9
    begin = divert.start - speed * OPENING_MS / 1000
    end = max(divert.end - speed * CLOSING_MS / 1000, begin + speed * (GATE.min_hold_us + LATE_US) * 1e-6)
    return begin - slack <= off.count <= end + slack


def _stalls_within(world: World, from_ns: int, to_ns: int) -> int:
    """A device whose loop stands cannot close: what that took."""
    return sum(end - begin for begin, end in world.device_stalls if begin < to_ns and end > from_ns)


def _at_the_end(world: World, index: _Index) -> list[Broken]:
    problems = []
    if world.device.outputs():
        problems.append(Broken("wrong", "a gate is still open"))
    if world.device.edges_lost:
        problems.append(Broken("other", f"{world.device.edges_lost} edges were not recorded"))
    if not world.device.armed or world.state.value != "armed":
        problems.append(Broken("other", f"not armed again at the end but {world.state.value}"))
    for final in world.finals.values():
        if isinstance(final, NotFired) and final.reason is MissReason.REBOOT:
            problems += _did_not_begin(world, index, final)
    return problems


def _did_not_begin(world: World, index: _Index, final: NotFired) -> list[Broken]:
    """The host is certain that a restart came first: then no edge is this command's alone."""
    gate_mask = world.commands[final.command_id].gate_mask
    for edge in world.edges:
        if edge.on and gate_mask >> edge.gate & 1:
            owners = [key for key, divert in index.near(edge) if _begins(world, divert, edge)]
            if [key[1] for key in owners] == [final.command_id]:
                return [Broken("wrong", f"{final}: but {edge}", final.command_id)]
    return []
