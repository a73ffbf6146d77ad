"""What requests to `/auth/v1` carry: JSON bodies and their members, checked as GoTrue checks them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from starlette.requests import Request

from agent.localstack.accounts import BCRYPT_LIMIT
from agent.localstack.auth.faults import MIN_PASSWORD, AuthFault, invalid, weak_password
from agent.localstack.refusal import read_body
from agent.model.value import Json

MAX_AUTH_BODY = 64 * 1024
MAX_DEPTH = 32
MAX_METADATA = 8 * 1024
"""Bytes of metadata in a token's JSON: a token that no header can carry would lock its user out."""
EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f\ud800-\udfff]{1,64}@[^@\s\x00-\x1f\x7f\ud800-\udfff]{1,190}")
DURATION = re.compile(r"(?P<sign>[+-]?)(?P<parts>(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
DURATION_PART = re.compile(r"([0-9.]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
MAX_DURATION_S = (2**63 - 1) / 1e9
"""Go counts nanoseconds in 64 bits: 292 years."""

Params = Mapping[str, Json]


async def params(request: Request) -> dict[str, Json]:
    """The JSON object of the body."""
    return parsed(await read_body(request, MAX_AUTH_BODY))


def parsed(body: bytes) -> dict[str, Json]:
    """As Go's decoder: an object, or null, which leaves every member empty."""
    try:
        found = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as err:
        raise _bad_json(str(err)) from err
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _bad_json("an object is needed")
    if _depth(found) > MAX_DEPTH:
        raise _bad_json(f"it is nested deeper than {MAX_DEPTH} levels")
    return found


def text(given: Params, name: str) -> str:
    """A string member; absent and null are empty."""
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise _bad_json(f"{name} must be a string")
    return value or ""


def flag(given: Params, name: str) -> bool:
    """A boolean member; absent and null are false."""
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise _bad_json(f"{name} must be a boolean")
    return value is True


def members(given: Params, name: str) -> dict[str, Json] | None:
    """An object member; None when it is absent or null."""
    value = given.get(name)
    if value is not None and not isinstance(value, dict):
        raise _bad_json(f"{name} must be an object")
    return value


def uuid(given: Params, name: str) -> UUID | None:
    """A UUID member; absent, null and empty are None."""
    value = text(given, name)
    try:
        found = UUID(value) if value else None
    except ValueError as err:
        raise invalid("ID must conform to the uuid v4 format") from err
    if found is not None and found.int == 0:
        raise invalid("ID cannot be a nil uuid")
    return found


def email(value: str) -> str:
    """A valid address, in lower case."""
    if not EMAIL.fullmatch(value):
        raise invalid("Unable to validate email address: invalid format")
    return value.lower()


def storable(password: str) -> str:
    """A password that bcrypt reads to its end."""
    encoded = password.encode("utf-8", "surrogatepass")
    if len(encoded) > BCRYPT_LIMIT:
        raise invalid(f"Password cannot be longer than {BCRYPT_LIMIT} characters")
    if b"\0" in encoded or len(encoded) != len(password.encode("utf-8", "ignore")):
        raise invalid("Password holds a character that cannot be stored")
    return password


def strong(password: str) -> str:
    """A password that may be chosen."""
    if len(storable(password).encode()) < MIN_PASSWORD:
        raise weak_password()
    return password


def duration(value: str) -> timedelta:
    """Go's `time.ParseDuration` (`1h30m`, `-1.5s`), and `none` for zero."""
    if value in {"none", "0"}:
        return timedelta()
    found = DURATION.fullmatch(value)
    try:
        parts = DURATION_PART.findall(found["parts"]) if found else []
        seconds = math.fsum(float(number) * UNITS_S[unit] for number, unit in parts)
    except OverflowError:
        seconds = math.inf
    if found is None or seconds > MAX_DURATION_S:
        raise invalid(f'invalid format for ban duration: time: invalid duration "{value[:100]}"')
    return timedelta(seconds=-seconds if found["sign"] == "-" else seconds)


def fits_a_token(app_metadata: Json, user_metadata: Json) -> None:
    """Refuse metadata that would make tokens too long to be sent."""
    if len(json.dumps([app_metadata, user_metadata])) > MAX_METADATA:
        raise AuthFault(422, "validation_failed", f"the metadata of a user cannot be longer than {MAX_METADATA} bytes")


def _no_number(word: str) -> Json:
    raise ValueError(f"{word} is no JSON")


def _bad_json(why: str) -> AuthFault:
    return AuthFault(400, "bad_json", f"Could not parse request body as JSON: {why}")


def _depth(value: Json) -> int:
    """Levels of nesting, counted without recursion."""
    deep, level = 0, [value]
    while level:
        deep += 1
        holders = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [inner for holder in holders for inner in holder]
    return deep
