"""Payload files: private, whole, gone afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from agent.adapters.payloads import PayloadFiles
from agent.errors import StateError
from agent.ports import Payloads

RUN = uuid4()


@pytest.fixture
def payloads(tmp_path) -> Payloads:
    return PayloadFiles(tmp_path / "payloads")


@pytest.mark.parametrize("payload", [{"width": 3}, [1, "ä", "\ud800", None], "x", None, {"deep": {"er": [True, 1.5]}}])
def test_a_payload_is_written_for_our_eyes_and_read_back(payloads, payload):
    path = Path(payloads.write(RUN, payload))
    assert path.is_absolute()
    assert json.loads(path.read_text()) == payload
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_writing_again_replaces(payloads):
    payloads.write(RUN, "long text")
    assert json.loads(Path(payloads.write(RUN, 1)).read_text()) == 1


def test_a_removed_payload_is_gone_and_removing_again_is_silent(payloads):
    path = Path(payloads.write(RUN, 1))
    payloads.remove(RUN)
    assert not path.exists()
    payloads.remove(RUN)


def test_a_link_in_its_place_is_not_followed(payloads, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    place = Path(payloads.write(RUN, 1))
    place.unlink()
    place.symlink_to(victim)
    with pytest.raises(StateError, match="cannot be written"):
        payloads.write(RUN, "yours")
    assert victim.read_text() == "mine"


def test_a_payload_that_cannot_be_removed_is_told(payloads):
    place = Path(payloads.write(RUN, 1))
    place.unlink()
    place.mkdir()
    with pytest.raises(StateError, match="cannot be removed"):
        payloads.remove(RUN)


def test_faults_are_those_of_the_schema(payloads):
    schema = {"properties": {"width": {"minimum": 1}}}
    assert payloads.fault(schema, {"width": 1}) is None
    assert payloads.fault(schema, {"width": 0}) == "payload.width: 0 is less than the minimum of 1"


def test_a_token_lies_alone_in_a_file_for_our_eyes_and_goes_with_the_payload(payloads):
    payload, token = Path(payloads.write(RUN, 1)), Path(payloads.write_token(RUN, "tökén"))
    assert token.read_text() == "tökén"
    assert token.stat().st_mode & 0o777 == 0o600
    payloads.remove(RUN)
    assert not payload.exists()
    assert not token.exists()
