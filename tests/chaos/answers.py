"""Servers that commit and whose answer is lost, servers that answer nonsense, tokens that expire."""

from __future__ import annotations

from tests.chaos.houses import BRIEF_TOKEN_S
from tests.chaos.scenario import scenario
from tests.chaos.world import PATIENCE_S, World
from tests.support.agent_process import AgentProcess
from tests.support.waiting import wait_until

RPCS = (
    "cron_agent_hello",
    "cron_agent_beat",
    "cron_sync_mirror",
    "cron_claim_requests",
    "cron_claim_slot",
    "cron_report",
    "cron_append_logs",
)
BURSTS = (429, 500, 502, 401, 404, 400)
"""The last two are what a restarting gateway says: no reason to give up a report."""
REST = "/rest/v1/"
"""A 401 of `/auth/v1` is a verdict on the password, not trouble that passes."""
TOKENS = "/auth/v1/token"


@scenario("lost-answers")
async def lost_answers(world: World) -> None:
    """For each RPC: the server commits and its answer is lost, up to three times in a row."""
    agent = await world.ready_agent()
    for _ in range(world.times(1, 3)):
        for name in world.rng.sample(RPCS, len(RPCS)):
            times = world.rng.randrange(1, world.times(3, 4))
            wanted = world.proxy.lost[name] + times
            world.proxy.lose_answers(name, times)
            _cause(world, agent, name)
            await wait_until(lambda name=name, wanted=wanted: world.proxy.lost[name] >= wanted, PATIENCE_S)
        await world.recovered()


@scenario("late-calls")
async def late_calls(world: World) -> None:
    """For each RPC: a call stays on its way, is given up and repeated, and arrives after its repetition."""
    agent = await world.ready_agent()
    for _ in range(world.times(1, 3)):
        for name in world.rng.sample(RPCS, world.times(4, len(RPCS))):
            world.proxy.hold_back(name)
            _cause(world, agent, name)
            await wait_until(lambda name=name: any(path.endswith(name) for path in world.proxy.held), PATIENCE_S)
            world.press(3)
            await world.lapse(0.2, 2)
            await world.proxy.deliver()
        await world.recovered()
    hellos = [answer for path, answer in world.proxy.late if path.endswith("hello")]
    assert all(b'"again"' in answer for answer in hellos), hellos


@scenario("error-bursts")
async def error_bursts(world: World) -> None:
    """Bursts of 429, 500, 502, 401, 404 and 400 in place of answers."""
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    for _ in range(world.times(1, 2)):
        for status in world.rng.sample(BURSTS, world.times(4, len(BURSTS))):
            world.press(world.rng.randrange(1, 6))
            await world.lapse(0, 1)
            world.proxy.answer_with(status, world.rng.randrange(1, world.times(3, 6)), REST)
            world.press(2)
            await wait_until(lambda: not world.proxy.answering, PATIENCE_S)
        await world.recovered()
    world.found += await before.again(agent)


@scenario("token-expiry", brittle=True)
async def token_expiry(world: World) -> None:
    """The access token expires in mid-run, and for a while nobody renews it: calls and Realtime are turned away."""
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    for _ in range(world.times(1, 3)):
        world.proxy.answer_with(503, 10_000, TOKENS)
        for _ in range(3):
            world.press(3)
            await world.lapse(BRIEF_TOKEN_S / 2)
        world.proxy.answer_with(503, 0)
        await world.recovered()
    world.found += await before.again(agent)


def _cause(world: World, agent: AgentProcess, call: str) -> None:
    """Give the agent a reason for this call, and for others beside it."""
    world.press(5)
    world.press(1, "slow")  # long enough that its output is sent while it runs
    if call == "cron_sync_mirror":
        agent.write_config(
            agent.config.read_text().removeprefix("env_file: agent.env\n")
            + f"  more-{world.rng.randrange(10**9)}: {{run: [ls]}}\n"
        )
    if call in ("cron_agent_hello", "cron_agent_beat"):  # the next beat would come in 15 s
        world.kill(agent)
