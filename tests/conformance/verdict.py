"""Whether what a client got is what the list says. One place for both clients."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.conformance.listed import Client, Scenario
from tests.conformance.words import filled


def faults(scenario: Scenario, client: Client, outcome: dict[str, Any]) -> list[str]:
    """What differs, for people; empty: as it should be."""
    results, saved = outcome["steps"], outcome["saved"]
    found = []
    for number, (step, got) in enumerate(zip(scenario.steps, results, strict=False), 1):
        said = step.expectations(client)
        differs = _differences(filled(said, saved), got)
        found += [f"step {number} ({step.verb}) {each}" for each in differs]
    if outcome.get("broken"):
        found.append(f"step {len(results) + 1} could not be done: {outcome['broken']}")
    return found


def _differences(expected: dict[str, Any], got: dict[str, Any]) -> list[str]:
    found = []
    if "error" not in expected and got.get("error") is not None:
        found.append(f"failed: {_short(got['error'])}, status {got.get('status')}")
    for key, wanted in expected.items():
        have = got.get("data" if key == "like" else key)
        fits = have == wanted if key == "data" else matches(wanted, have)
        if not fits:
            found.append(f"{key}: expected {_short(wanted)}, got {_short(have)}")
    return found


def matches(wanted: Any, have: Any) -> bool:
    """Objects in part, lists as long, `~…` a regular expression, `<any>` anything but null, `<none>` null or absent."""
    if isinstance(wanted, dict):
        return isinstance(have, dict) and all(matches(each, have.get(key)) for key, each in wanted.items())
    if isinstance(wanted, list):
        return isinstance(have, list) and len(wanted) == len(have) and all(map(matches, wanted, have))
    if wanted == "<any>":
        return have is not None
    if wanted == "<none>":
        return have is None
    if isinstance(wanted, str) and wanted.startswith("~"):
        return isinstance(have, str) and re.search(wanted[1:], have) is not None
    return bool(wanted == have) and isinstance(wanted, bool) == isinstance(have, bool)


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:600]
