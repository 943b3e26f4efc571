"""A configuration on a bad day: each mistake gives one line that names file, key, value and range."""

import re
from pathlib import Path

import pytest

from station.config import StationConfig, builtin_config, builtin_text, changed, find_config, load_config, parse_config
from station.errors import ConfigError

MANDATORY = [
    ("unactuated_bin", "sort.unactuated_bin: missing"),
    ("fallback_bin", "sort.fallback_bin: missing"),
    ("safe_level", "gate_bar.safe_level: missing"),
    ("max_speed_m_s", "belt.max_speed_m_s: missing"),
    ("at_mm", "gate_bar.at_mm: missing"),
    ("opening_delay_ms", "gate_bar.opening_delay_ms: missing"),
]


def template_without(key: str) -> str:
    return "\n".join(line for line in builtin_text("station").splitlines() if not line.startswith(f"{key} "))


def template_with(old: str, new: str) -> str:
    text = builtin_text("station")
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize("name", ["station", "virtual"])
def test_what_ships_is_valid(name: str) -> None:
    assert len(builtin_config(name).gates) == 8


def test_the_template_decides_auto_rearm_and_never_for_the_plant_to_rearm_by_itself() -> None:
    assert builtin_config("station").link.auto_rearm is False


@pytest.mark.parametrize(("key", "words"), MANDATORY)
def test_a_decision_left_out_is_named(key: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(template_without(key), "plant.toml", {})


def commented_section(name: str) -> str:
    """What the template shows of a section that is off, as it stands when a person takes the # away."""
    lines = iter(builtin_text("station").splitlines())
    shown = [next(line for line in lines if line.startswith(f"# [{name}]"))]
    for line in lines:
        if not line.startswith("# "):
            break
        shown.append(line)
    return "\n".join(line.removeprefix("# ") for line in shown) + "\n"


def test_the_template_s_example_of_a_broker_is_valid() -> None:
    mqtt = parse_config(builtin_text("station") + commented_section("mqtt"), "plant.toml", {}).mqtt
    assert mqtt is not None
    assert (mqtt.host, mqtt.port, mqtt.user, mqtt.discovery) == (
        "broker.plant.example",
        1883,
        "station",
        "homeassistant",
    )


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('password_file = "p"', "say whose password it is"),
        ('topic = "a/#"', "mqtt.topic = 'a/#'"),
        ('topic = "/a"', "mqtt.topic = '/a'"),
        ("every_s = 0.1", "mqtt.every_s = 0.1"),
    ],
)
def test_a_broker_s_settings_are_bounded(section: str, words: str) -> None:
    text = builtin_text("station") + f'\n[mqtt]\nhost = "broker"\n{section}\n'
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse_config(text, "plant.toml", {})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param(
            "width_mm = 600.0", "width_mm = -1", ["plant.toml", "belt.width_mm = -1", "greater than 0"], id="range"
        ),
        pytest.param("width_mm = 600.0", 'width_mm = "broad"', ["belt.width_mm = 'broad'", "number"], id="type"),
        pytest.param("width_mm =", "widht_mm =", ["belt.widht_mm: unknown key", "config schema"], id="typo"),
        pytest.param('travel = "down"', 'travel = "south"', ["travel = 'south'", "'down', 'up'"], id="choice"),
        pytest.param(
            'travel = "down"',
            "lane_from_mm = 600\nlane_to_mm = 600",
            ["lane_from_mm = 600 is not below lane_to_mm = 600", "no item"],
            id="an empty lane",
        ),
        pytest.param("safe_level = 0", "safe_level = 2", ["gate_bar.safe_level = 2", "0 or 1"], id="level"),
        pytest.param('"residue" ', '"bin9" ', ["unactuated_bin = 'bin9'", "product", "residue"], id="no such bin"),
        pytest.param('"residue" ', '"product" ', ["no gate may serve it"], id="unactuated bin with gates"),
        pytest.param("5, 6, 7]", "5, 6, 8]", ["gate 8 does not exist", "0..7"], id="no such gate"),
        pytest.param("mm_per_count = 0.5", "", ["mm_per_count", "speed_m_s"], id="neither encoder nor speed"),
        pytest.param("[belt]", "[belt", ["not valid TOML", "line "], id="broken TOML"),
    ],
)
def test_a_wrong_value_is_told_with_file_key_and_range(old: str, new: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as told:
        parse_config(template_with(old, new), "plant.toml", {})
    assert all(word in str(told.value) for word in ["plant.toml", *words]), str(told.value)


def test_a_wrong_value_from_the_environment_names_the_variable() -> None:
    with pytest.raises(ConfigError, match=r"^STATION_BELT__MAX_SPEED_M_S: belt\.max_speed_m_s = 50"):
        builtin_config("station", {"STATION_BELT__MAX_SPEED_M_S": "50"})


def test_the_environment_overrides_the_file() -> None:
    config = builtin_config("station", {"STATION_BELT__MAX_SPEED_M_S": "0.5", "STATION_LINK__PORT": "/dev/ttyACM0"})
    assert (config.belt.max_speed_m_s, config.link.port) == (0.5, "/dev/ttyACM0")


def test_a_missing_or_unreadable_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        find_config(tmp_path / "absent.toml", {})
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(binary)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_the_file_in_force_is_the_first_of_flag_environment_here_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    user = tmp_path / "user" / "station" / "station.toml"
    user.parent.mkdir(parents=True)
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "user")}
    assert find_config(None, {"XDG_CONFIG_HOME": str(tmp_path / "nobody")}) in (None, Path("/etc/station/station.toml"))
    user.touch()
    assert find_config(None, environ) == user
    (tmp_path / "station.toml").touch()
    assert find_config(None, environ) == Path("station.toml")
    (tmp_path / "other.toml").touch()
    assert find_config(None, environ | {"STATION_CONFIG": str(tmp_path / "other.toml")}) == tmp_path / "other.toml"
    assert find_config(Path("station.toml"), environ | {"STATION_CONFIG": "/nowhere"}) == Path("station.toml")


def test_a_changed_copy_is_checked_like_a_file() -> None:
    config: StationConfig = builtin_config("virtual")
    assert changed(config, virtual={"speed_m_s": 2.5}).virtual.speed_m_s == 2.5
    with pytest.raises(ConfigError, match="speed_m_s"):
        changed(config, virtual={"speed_m_s": 25})


def template_with_a_gate_at(at_mm: float, from_mm: float = 600, to_mm: float = 640) -> str:
    """Gate 8, beside the bar."""
    gate = f"[[gate]]\nfrom_mm = {from_mm}\nto_mm = {to_mm}\nat_mm = {at_mm}\nsafe_level = 1\n"
    return template_with("[sort]\n", f"{gate}opening_delay_ms = 1\nclosing_delay_ms = 1\n\n[sort]\n")


def test_gates_of_the_bar_come_before_single_ones() -> None:
    gates = parse_config(template_with_a_gate_at(1500), "plant.toml", {}).gates
    assert [gate.from_mm for gate in gates] == [0, 75, 150, 225, 300, 375, 450, 525, 600]
    assert (gates[8].at_mm, gates[8].safe_level) == (1500, 1)


@pytest.mark.parametrize(("from_mm", "to_mm"), [(600, 600), (640, 600)], ids=["no width", "sides exchanged"])
def test_a_gate_that_never_acts_is_refused(from_mm: float, to_mm: float) -> None:
    with pytest.raises(
        ConfigError, match=rf"^plant\.toml: gate\.0: .*to_mm = {to_mm} .*from_mm = {from_mm}.*right edge"
    ):
        parse_config(template_with_a_gate_at(1375, from_mm, to_mm), "plant.toml", {})


def test_gates_of_one_bin_stand_on_one_line() -> None:
    """A command has one window: the gate behind the others would act before the item is there."""
    beside, behind = (template_with_a_gate_at(at_mm).replace("6, 7]", "6, 7, 8]") for at_mm in (1375, 1500))
    assert parse_config(beside, "plant.toml", {}).sort.bins["product"].gates[-1] == 8
    with pytest.raises(ConfigError, match=r"sort\.bins\.product\.gates: .*at_mm = 1375 and 1500.*a bin of its own"):
        parse_config(behind, "plant.toml", {})


def test_bins_may_have_their_gates_on_different_lines() -> None:
    text = template_with_a_gate_at(1500).replace(
        "[sort.bins.residue]", "[sort.bins.rest]\ngates = [8]\n\n[sort.bins.residue]"
    )
    assert parse_config(text, "plant.toml", {}).sort.bins["rest"].gates == (8,)


@pytest.mark.parametrize(
    ("lanes_mm", "complaint"),
    [
        pytest.param(((0, 575), (575, 1200)), "", id="they meet"),
        pytest.param(((575, 1200), (0, 575)), "", id="they meet, the other way round"),
        pytest.param(((None, 575), (575, None)), "", id="the outer limits are left open"),
        pytest.param(((None, None), (None, None)), "", id="none is given"),
        pytest.param(((0, 575), (580, 1200)), r"camera0 ends at 575 mm and that of camera1 begins at 580", id="a gap"),
        pytest.param(
            ((0, 575), (300, 1200)), r"camera0 ends at 575 mm and that of camera1 begins at 300", id="overlap"
        ),
    ],
)
def test_lanes_meet_so_that_every_item_is_one_camera_s(
    lanes_mm: tuple[tuple[float | None, float | None], ...], complaint: str
) -> None:
    cameras = [
        {"id": f"camera{at}", "lane_from_mm": lane[0], "lane_to_mm": lane[1]} for at, lane in enumerate(lanes_mm)
    ]
    if not complaint:
        assert len(changed(builtin_config("virtual"), cameras=cameras).cameras) == 2
        return
    with pytest.raises(ConfigError, match=complaint):
        changed(builtin_config("virtual"), cameras=cameras)
