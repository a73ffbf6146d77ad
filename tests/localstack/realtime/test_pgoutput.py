"""Decoding the replication stream, from bytes."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest

from agent.localstack.realtime.pgoutput import Change, Decoder


def relation(
    identity: str = "d", columns: tuple[tuple[int, str, int], ...] = ((1, "id", 23), (0, "body", 25))
) -> bytes:
    described = b"".join(
        struct.pack(">B", flag) + name.encode() + b"\0" + struct.pack(">Ii", oid, -1) for flag, name, oid in columns
    )
    return (
        b"R"
        + struct.pack(">I", 7)
        + b"public\0memos\0"
        + identity.encode()
        + struct.pack(">H", len(columns))
        + described
    )


def row(*values: str | None) -> bytes:
    parts = [
        b"n"
        if value is None
        else b"u"
        if value == "…"
        else b"t" + struct.pack(">I", len(value.encode())) + value.encode()
        for value in values
    ]
    return struct.pack(">H", len(values)) + b"".join(parts)


BEGIN = b"B" + struct.pack(">qqI", 99, 86_400_000_000 + 1_500, 4_294_967_295)
HEAD = struct.pack(">I", 7)


def decoded(*messages: bytes) -> Change:
    decoder = Decoder()
    changes = [change for change in map(decoder.decode, messages) if change is not None]
    assert len(changes) == 1
    return changes[0]


def test_an_insert_carries_its_transaction_and_its_values() -> None:
    change = decoded(BEGIN, relation(), b"I" + HEAD + b"N" + row("1", "é"), b"C" + bytes(25))
    assert (change.action, change.new, change.old) == ("INSERT", {"id": "1", "body": "é"}, {})
    assert (change.relation.schema, change.relation.table) == ("public", "memos")
    assert (change.xid, change.committed_at) == (4_294_967_295, datetime(2000, 1, 2, 0, 0, 0, 1500, UTC))


@pytest.mark.parametrize(
    ("before", "old"),
    [
        (b"", {"id": "1"}),
        (b"K" + row("9", None), {"id": "9"}),
        (b"O" + row("9", "whole"), {"id": "9", "body": "whole"}),
    ],
)
def test_an_update_shows_the_identity_as_it_was(before: bytes, old: dict[str, str]) -> None:
    change = decoded(BEGIN, relation(), b"U" + HEAD + before + b"N" + row("1", "b"))
    assert (change.action, change.new, change.old) == ("UPDATE", {"id": "1", "body": "b"}, old)


def test_a_delete_has_an_old_row_only() -> None:
    change = decoded(BEGIN, relation(), b"D" + HEAD + b"K" + row("1", None))
    assert (change.action, change.new, change.old) == ("DELETE", {}, {"id": "1"})


def test_an_untouched_large_value_is_absent() -> None:
    assert decoded(BEGIN, relation(), b"U" + HEAD + b"N" + row("1", "…")).new == {"id": "1"}


@pytest.mark.parametrize("special", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_become_null_and_texts_stay(special: str) -> None:
    columns = ((1, "id", 23), (0, "x", 701), (0, "t", 25))
    assert decoded(BEGIN, relation("d", columns), b"I" + HEAD + b"N" + row("1", special, special)).new == {
        "id": "1",
        "x": None,
        "t": special,
    }


def test_a_change_is_oversized_from_one_megabyte_on() -> None:
    small, large = (
        decoded(BEGIN, relation(), b"I" + HEAD + b"N" + row("1", "x" * size)) for size in (10**6, 1_048_570)
    )
    assert (small.oversized, large.oversized) == (False, True)


def test_changes_that_nobody_wants_are_not_decoded() -> None:
    decoder = Decoder(wanted=lambda relation: relation.table != "memos")
    assert [decoder.decode(each) for each in (BEGIN, relation(), b"I" + HEAD + b"N" + row("1", "x"))] == [None] * 3


def test_messages_that_only_inform_are_passed_over() -> None:
    decoder = Decoder()
    for message in (b"O" + bytes(9), b"Y" + bytes(9), b"T" + bytes(9), b"C" + bytes(25), b"M" + bytes(9)):
        assert decoder.decode(message) is None


@pytest.mark.parametrize(
    "message",
    [
        b"I" + struct.pack(">I", 8) + b"N" + row("1", "x"),
        b"I" + HEAD + b"N" + row("1", "x")[:-1],
        b"I" + HEAD + b"N" + row("1"),
        b"I" + HEAD + b"N" + b"\0\2b",
        b"R\0",
        b"B\0",
    ],
)
def test_a_message_that_makes_no_sense_is_an_error(message: bytes) -> None:
    decoder = Decoder()
    decoder.decode(relation())
    with pytest.raises(ValueError, match=r"cannot be read|unknown form"):
        decoder.decode(message)
