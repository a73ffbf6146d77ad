"""Every scenario of the list, through the genuine supabase-py and supabase-js, against the embedded stack."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent.localstack.stack import Options
from tests.conformance import __main__ as command
from tests.conformance.asked import Answer, ask
from tests.conformance.listed import CLIENTS, Client, Scenario, read
from tests.conformance.target import Target
from tests.support.stack import TEST_OPTIONS, StackThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.xdist_group("conformance")]

LIST = [each for each in read() if "confirmation" not in each.needs]
"""The embedded stack sends no mail, so that nobody has an address to confirm."""
CASES = [(each, client) for each in LIST for client in each.clients_only]
Answers = dict[tuple[str, Client], Answer]


def serve(tmp_path_factory: pytest.TempPathFactory, options: Options) -> Iterator[Target]:
    stack = StackThread(tmp_path_factory.mktemp("conformance"), options=options)
    try:
        stack.start()
        yield stack.call(command.prepared(stack.local))
    finally:
        stack.close()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    yield from serve(tmp_path_factory, TEST_OPTIONS)


@pytest.fixture(scope="module")
def open_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """With signing up switched on."""
    yield from serve(tmp_path_factory, replace(TEST_OPTIONS, sign_up=True))


def answered(target: Target, scenarios: list[Scenario], clients: tuple[Client, ...] = CLIENTS) -> Answers:
    return {(each.scenario.name, each.client): each for each in asyncio.run(ask(target, scenarios, clients))}


@pytest.fixture(scope="module")
def answers(request: pytest.FixtureRequest, target: Target) -> Answers:
    """Of all scenarios that this run asks for: a client goes through its list in one go."""
    calls = [
        item.callspec.params
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    ]
    chosen = {params["scenario"].name for params in calls if "scenario" in params}
    return answered(target, [each for each in LIST if each.name in chosen])


@pytest.mark.parametrize(("scenario", "client"), CASES, ids=[f"{client} {scenario.name}" for scenario, client in CASES])
def test_rule(scenario: Scenario, client: Client, request: pytest.FixtureRequest) -> None:
    if "signup" in scenario.needs:
        answer = answered(request.getfixturevalue("open_target"), [scenario], (client,))[scenario.name, client]
    else:
        answer = request.getfixturevalue("answers")[scenario.name, client]
    if answer.faults != []:
        pytest.fail("\n".join(answer.faults or answer.lacking), pytrace=False)


def test_what_the_list_needs_is_taken_away_again_without_a_trace(tmp_path_factory: pytest.TempPathFactory) -> None:
    stack = StackThread(tmp_path_factory.mktemp("dropped"))
    try:
        stack.start()
        for _ in range(2):
            stack.call(command.prepared(stack.local))
            stack.sql((command.HERE / "drop.sql").read_text())
        left = stack.sql(
            "select (select count(*) from pg_class where starts_with(relname, 'conf_')) + "
            "(select count(*) from pg_proc where starts_with(proname, 'conf_')) + "
            "(select count(*) from pg_policy where starts_with(polname, 'conf_')) as things"
        )
        assert left == [{"things": 0}]
    finally:
        stack.close()
