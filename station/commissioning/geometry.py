"""Is there time? From the last usable look of a camera to the first gate behind it, at the belt's full speed. Pure.

Theory of operation. Positions are of an item's middle on the station axis. An item of length L is whole in the view from
L/2 behind its upstream edge to L/2 before its downstream edge; between two frames it moves v/fps, so a stretch of s mm holds
at least floor(s x fps / v) frames, whatever the phase. A look is usable when everything that must happen after it still
fits before the front of the window reaches the gate: latency + lead + valve delay + margin at full speed, and half a window.

Knows the configuration; knows nothing of what a camera or a computer really does (doctor and bench measure that).
"""

from dataclasses import asdict, dataclass
from math import floor

from station.config import CameraConfig, GateConfigSection, StationConfig
from station.errors import ConfigError
from station.tracking.belt import BeltMap, configured_map

LOOKS_NEEDED = 2


@dataclass(frozen=True, slots=True)
class LeadGeometry:
    """The arithmetic of one camera and its nearest gate."""

    camera_id: str
    gate: int
    speed_m_s: float
    fps: float
    item_mm: float
    view_from_mm: float
    view_to_mm: float
    gate_at_mm: float
    ahead_ms: float  # latency + lead + valve delay + margin
    ahead_words: str
    half_window_mm: float
    margin_mm: float

    @property
    def lead_mm(self) -> float:
        return self.speed_m_s * self.ahead_ms + self.half_window_mm

    @property
    def last_look_mm(self) -> float:
        """Where an item's middle may be at the last usable look: still whole, and still early enough."""
        return min(self.view_to_mm - self.item_mm / 2, self.gate_at_mm - self.lead_mm)

    @property
    def first_look_mm(self) -> float:
        return self.view_from_mm + self.item_mm / 2

    @property
    def step_mm(self) -> float:
        """Belt travel from frame to frame at full speed."""
        return self.speed_m_s * 1000 / self.fps

    @property
    def looks(self) -> int:
        return max(0, floor((self.last_look_mm - self.first_look_mm) / self.step_mm + 1e-9))

    @property
    def longest_item_mm(self) -> float:
        """The longest item that gets two looks at full speed; 0 when none does."""
        needed_mm = LOOKS_NEEDED * self.step_mm
        ahead_mm = self.speed_m_s * self.ahead_ms + self.margin_mm
        by_view = self.view_to_mm - self.view_from_mm - needed_mm
        by_lead = self.gate_at_mm - ahead_mm - self.view_from_mm - needed_mm
        return max(0.0, min(by_view, by_lead))

    @property
    def fastest_m_s(self) -> float:
        """The belt speed up to which an item of `item_mm` gets two looks; 0 when it never does."""
        whole_mm = self.view_to_mm - self.view_from_mm - self.item_mm
        early_mm = self.gate_at_mm - self.half_window_mm - self.first_look_mm
        by_view = whole_mm / (LOOKS_NEEDED * 1000 / self.fps)
        by_lead = early_mm / (self.ahead_ms + LOOKS_NEEDED * 1000 / self.fps)
        return max(0.0, min(by_view, by_lead))

    @property
    def enough(self) -> bool:
        return self.looks >= LOOKS_NEEDED

    @property
    def text(self) -> str:
        lead_last_mm = self.gate_at_mm - self.lead_mm
        return "\n".join(
            [
                f"camera {self.camera_id}, gate {self.gate}: {self.looks} looks at {self.speed_m_s:g} m/s "
                f"for an item of {self.item_mm:g} mm ({LOOKS_NEEDED} needed)",
                f"  lead: {self.speed_m_s:g} m/s x ({self.ahead_words} = {self.ahead_ms:g} ms) "
                f"+ half a window {self.half_window_mm:g} mm = {self.lead_mm:.0f} mm",
                f"  early enough until {self.gate_at_mm:g} - {self.lead_mm:.0f} = {lead_last_mm:.0f} mm; whole in the view "
                f"from {self.first_look_mm:.0f} to {self.view_to_mm - self.item_mm / 2:.0f} mm (middle of the item)",
                f"  usable {self.first_look_mm:.0f} to {self.last_look_mm:.0f} mm, {self.step_mm:.1f} mm per frame "
                f"at {self.fps:g} fps: {self.looks} looks",
                f"  two looks up to {self.fastest_m_s:.2f} m/s, or for items up to {self.longest_item_mm:.0f} mm",
            ]
        )


@dataclass(frozen=True, slots=True)
class GeometryReport:
    leads: tuple[LeadGeometry, ...]  # one per camera that has a gate behind it
    problems: tuple[str, ...]  # what no arithmetic can mend

    @property
    def ok(self) -> bool:
        return not self.problems and all(lead.enough for lead in self.leads)

    @property
    def text(self) -> str:
        if not self.leads and not self.problems:
            return "no gate is served: observing only, the lead does not matter"
        return "\n".join([*self.problems, *(lead.text for lead in self.leads)])

    def to_json(self) -> dict[str, object]:
        leads = [
            {
                **asdict(lead),
                "lead_mm": lead.lead_mm,
                "last_look_mm": lead.last_look_mm,
                "looks": lead.looks,
                "longest_item_mm": lead.longest_item_mm,
                "fastest_m_s": lead.fastest_m_s,
            }
            for lead in self.leads
        ]
        return {"ok": self.ok, "problems": list(self.problems), "leads": leads}


def check_geometry(config: StationConfig) -> GeometryReport:
    """The report; a configuration that leaves fewer than two looks at full speed is refused with its arithmetic."""
    report = geometry_of(config)
    if not report.ok:
        raise ConfigError(
            f"geometry: fewer than {LOOKS_NEEDED} looks at full speed.\n{report.text}\n"
            "Move the gates or the camera, raise cameras.fps, lower belt.max_speed_m_s, or budget for shorter items "
            "(budget.item_mm)."
        )
    return report


def geometry_of(config: StationConfig) -> GeometryReport:
    """The arithmetic, right or wrong."""
    served = sorted({gate for bin_ in config.sort.bins.values() for gate in bin_.gates})
    leads, problems = [], []
    for camera in config.cameras:
        view = configured_map(camera, camera.width_px, camera.height_px, config.belt.width_mm)
        gate = _nearest_gate(config, camera, view, served)
        if gate is not None:
            leads.append(_lead(config, camera, view, gate))
        elif served:
            problems.append(
                f"camera {camera.id}: no gate stands behind its view and reaches the strip it sees; "
                "correct gate at_mm, from_mm, to_mm or the camera's view_at_mm, lateral_at_mm"
            )
    return GeometryReport(tuple(leads), tuple(problems))


def _nearest_gate(config: StationConfig, camera: CameraConfig, view: BeltMap, served: list[int]) -> int | None:
    """The first served gate behind the view's upstream edge that reaches the camera's strip of belt."""
    left_mm = camera.lane_from_mm if camera.lane_from_mm is not None else camera.lateral_at_mm
    right_mm = camera.lane_to_mm if camera.lane_to_mm is not None else camera.lateral_at_mm + view.view_width_mm
    behind = [
        number
        for number in served
        if config.gates[number].at_mm > camera.view_at_mm
        and config.gates[number].to_mm > left_mm
        and config.gates[number].from_mm < right_mm
    ]
    return min(behind, key=lambda number: config.gates[number].at_mm, default=None)


def _lead(config: StationConfig, camera: CameraConfig, view: BeltMap, number: int) -> LeadGeometry:
    gate: GateConfigSection = config.gates[number]
    budget, item_mm = config.budget, config.budget.item_mm
    parts_ms = (budget.latency_ms, config.link.lead_ms, gate.opening_delay_ms, budget.margin_ms)
    words = "latency {:g} + lead {:g} + valve {:g} + margin {:g}".format(*parts_ms)
    return LeadGeometry(
        camera_id=camera.id,
        gate=number,
        speed_m_s=config.belt.max_speed_m_s,
        fps=camera.fps,
        item_mm=item_mm,
        view_from_mm=camera.view_at_mm,
        view_to_mm=camera.view_at_mm + view.view_length_mm,
        gate_at_mm=gate.at_mm,
        ahead_ms=sum(parts_ms),
        ahead_words=words,
        half_window_mm=item_mm / 2 + config.sort.margin_mm,
        margin_mm=config.sort.margin_mm,
    )
