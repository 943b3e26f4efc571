"""Who may come in: addresses, tokens, cookies, names."""

import stat
from pathlib import Path

import pytest

from station.errors import ConfigError
from station.panel.auth import (
    COOKIE_LIFE_S,
    MAX_WRONG_TOKENS_PER_MINUTE,
    Access,
    Role,
    Tokens,
    WrongTokens,
    check_address,
    load_or_make_tokens,
    save_tokens,
    split_address,
)

TOKENS = Tokens(operator="o" * 32, viewer="v" * 32)
LOCAL = Access(TOKENS, port=8384, free_to_look=True)
PLANT = Access(TOKENS, port=8384, free_to_look=False, allowed_hosts=("line3.plant",))


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:8384", ("127.0.0.1", 8384)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_an_address_is_host_and_port(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["8384", "127.0.0.1", "host:99999", "a b:80", "::1:80", ""])
def test_anything_else_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:8384"):
        split_address(address)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "line3.plant"])
def test_an_address_others_can_reach_needs_a_token_file(host: str) -> None:
    with pytest.raises(ConfigError, match="token_file"):
        check_address(host, None)
    check_address(host, "/etc/station/panel.json")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    check_address(host, None)


@pytest.mark.parametrize(
    ("access", "host", "allowed"),
    [
        (LOCAL, "127.0.0.1:8384", True),
        (LOCAL, "localhost:9000", True),
        (LOCAL, "[::1]:8384", True),
        (LOCAL, "evil.example:8384", False),
        (LOCAL, "127.0.0.1.evil.example", False),
        (LOCAL, "127.0.0.1@evil.example", False),
        (LOCAL, "192.168.1.7:8384", False),
        (LOCAL, "", False),
        (LOCAL, "[", False),
        (PLANT, "192.168.1.7:8384", True),
        (PLANT, "LINE3.plant:8384", True),
        (PLANT, "line4.plant:8384", False),
    ],
)
def test_only_known_names_and_addresses_are_us(access: Access, host: str, allowed: bool) -> None:
    assert access.host_allowed(host) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://127.0.0.1:8384", True),
        ("https://127.0.0.1:8384", True),
        ("http://127.0.0.1:8385", False),
        ("http://127.0.0.1:8384.evil.example", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_only_our_own_page_is_our_origin(origin: str | None, allowed: bool) -> None:
    assert LOCAL.origin_allowed(origin, "127.0.0.1:8384") is allowed


@pytest.mark.parametrize(
    ("token", "role"),
    [
        ("o" * 32, Role.OPERATOR),
        ("v" * 32, Role.VIEWER),
        ("o" * 31, Role.NOBODY),
        ("", Role.NOBODY),
        ("ö", Role.NOBODY),
    ],
)
def test_a_token_is_a_role(token: str, role: Role) -> None:
    assert TOKENS.role_of(token) is role


def test_a_cookie_keeps_its_role_until_it_expires() -> None:
    cookie = LOCAL.cookie_for(Role.OPERATOR, now_s=1000)
    assert LOCAL.role_of_cookie(cookie, 1000 + COOKIE_LIFE_S) is Role.OPERATOR
    assert LOCAL.role_of_cookie(cookie, 1001 + COOKIE_LIFE_S) is Role.NOBODY


def test_a_restarted_panel_knows_its_cookies_and_another_station_does_not() -> None:
    cookie = LOCAL.cookie_for(Role.OPERATOR, now_s=1000)
    assert Access(TOKENS, 8384, True).role_of_cookie(cookie, 1001) is Role.OPERATOR
    assert Access(TOKENS, 8385, True).role_of_cookie(cookie, 1001) is Role.NOBODY
    assert Access(Tokens("x" * 32, "v" * 32), 8384, True).role_of_cookie(cookie, 1001) is Role.NOBODY


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda c: c.replace("viewer", "operator"), id="role raised"),
        pytest.param(lambda c: c.replace(c.split(".")[1], "99999999999"), id="life extended"),
        pytest.param(lambda c: c[:-1] + ("0" if c[-1] != "0" else "1"), id="signature touched"),
        pytest.param(lambda c: "", id="empty"),
        pytest.param(lambda c: "operator.9.é", id="not ascii"),
        pytest.param(lambda c: "a.b.c.d", id="too many parts"),
    ],
)
def test_a_forged_cookie_is_nobody(forge: object) -> None:
    assert callable(forge)
    cookie = forge(LOCAL.cookie_for(Role.VIEWER, now_s=1000))
    assert LOCAL.role_of_cookie(cookie, 1001) is Role.NOBODY


def test_too_many_wrong_tokens_silence_that_address_for_a_minute() -> None:
    wrong = WrongTokens()
    for n in range(MAX_WRONG_TOKENS_PER_MINUTE):
        assert not wrong.refused("10.0.0.9", now_s=n)
        wrong.add("10.0.0.9", now_s=n)
    assert wrong.refused("10.0.0.9", now_s=20)
    assert not wrong.refused("10.0.0.8", now_s=20)
    assert not wrong.refused("10.0.0.9", now_s=100)


def test_tokens_are_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "run" / "panel.json"
    made = load_or_make_tokens(path)
    save_tokens(path, made, url="http://127.0.0.1:1/")
    assert load_or_make_tokens(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.operator != made.viewer
    assert min(len(made.operator), len(made.viewer)) >= 32


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        pytest.param(
            '{"operator": "aaaaaaaaaaaaaaaa", "viewer": "bbbbbbbbbbbbbbbb"}', 0o644, "chmod 600", id="readable"
        ),
        pytest.param('{"operator": "short", "viewer": "bbbbbbbbbbbbbbbb"}', 0o600, "shorter", id="short"),
        pytest.param("not json", 0o600, "not a token file", id="not json"),
        pytest.param('{"viewer": "bbbbbbbbbbbbbbbb"}', 0o600, "not a token file", id="half"),
    ],
)
def test_a_bad_token_file_stops_the_start(tmp_path: Path, content: str, mode: int, message: str) -> None:
    path = tmp_path / "panel.json"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=message):
        load_or_make_tokens(path)
