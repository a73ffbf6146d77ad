"""Which machine this is and where: the same answer every time, never the id itself."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from agent.adapters.machine import local_timezone, machine_id

IOREG = """+-o J314sAP  <class IOPlatformExpertDevice, id 0x1>
    {
      "IOPlatformSerialNumber" = "C02XXXXX"
      "IOPlatformUUID" = "8B1C1F5A-0000-5000-8000-0123456789AB"
    }
"""


def with_files(root: Path, **contents: str) -> Path:
    for name, text in contents.items():
        path = root / name.replace("__", "/").replace("_", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def ioreg(folder: Path, text: str) -> list[str]:
    script = folder / "ioreg"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    script.chmod(0o755)
    return [str(script)]


def test_linux_has_a_machine_id_and_an_older_place_for_it(tmp_path):
    first = machine_id("linux", root=with_files(tmp_path / "a", etc__machine_id="abc\n"))
    second = machine_id("linux", root=with_files(tmp_path / "b", var__lib__dbus__machine_id="abc\n"))
    other = machine_id("linux", root=with_files(tmp_path / "c", etc__machine_id="abd\n"))
    assert first == second != other
    assert "abc" not in first


def test_a_mac_has_a_platform_uuid(tmp_path):
    first = machine_id("darwin", ioreg=ioreg(tmp_path, IOREG), node=1)
    assert first == machine_id("darwin", ioreg=ioreg(tmp_path, IOREG), node=2)
    assert first != machine_id("darwin", ioreg=ioreg(tmp_path, IOREG.replace("8B", "8C")), node=1)


def test_a_machine_without_either_is_known_by_its_network_card(tmp_path):
    by_card = machine_id("linux", root=tmp_path, node=0x001122334455)
    assert by_card == machine_id("darwin", ioreg=[str(tmp_path / "nope")], node=0x001122334455)
    assert by_card == machine_id("darwin", ioreg=ioreg(tmp_path, "nothing"), node=0x001122334455)
    assert by_card != machine_id("linux", root=tmp_path, node=0x001122334456)


def test_a_made_up_card_is_not_believed(tmp_path):
    made_up = machine_id("linux", root=tmp_path, node=0x010000000001)
    assert made_up == machine_id("linux", root=tmp_path, node=0x010000000002)
    assert platform.node() not in made_up


def test_this_machine_answers_the_same_twice():
    assert machine_id() == machine_id()


@pytest.mark.parametrize(
    ("environ", "contents", "zone"),
    [
        ({"TZ": "Asia/Tokyo"}, {"etc__timezone": "Europe/Berlin\n"}, "Asia/Tokyo"),
        ({"TZ": ":Asia/Tokyo"}, {}, "Asia/Tokyo"),
        ({"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}, {"etc__timezone": "Europe/Berlin\n"}, "Europe/Berlin"),
        ({"TZ": "/etc/localtime"}, {}, "UTC"),
        ({}, {"etc__timezone": "Europe/Berlin\n"}, "Europe/Berlin"),
        ({}, {"etc__timezone": "Nowhere/Land\n"}, "UTC"),
        ({}, {"etc__timezone": "ü"}, "UTC"),
        ({}, {}, "UTC"),
    ],
)
def test_the_zone_is_found_where_systems_keep_it(tmp_path, environ, contents, zone):
    assert local_timezone(environ, root=with_files(tmp_path, **contents)) == zone


def test_the_zone_is_told_by_the_link_to_the_zone_file(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "localtime").symlink_to("/var/db/timezone/zoneinfo/America/New_York")
    assert local_timezone({}, root=tmp_path) == "America/New_York"
