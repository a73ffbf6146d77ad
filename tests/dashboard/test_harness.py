"""What watches the tabs hears what it has to: else every other test here would prove less than it seems to."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import OpenTab, Tab, no_complaints
from tests.support.stack import Project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

INLINE = "const s = document.createElement('script'); s.textContent = 'window.ran = true'; document.head.append(s)"
ELSEWHERE = "fetch('http://127.0.0.2:9/').catch(() => {})"
FRAMED = "const f = document.createElement('iframe'); f.src = 'http://127.0.0.2:9/'; document.body.append(f)"


async def heard(tab: Tab, what: str) -> None:
    tab.expects(".")
    await wait_until(lambda: any(what in fault for fault in tab.faults))


@pytest.mark.parametrize("breach", [INLINE, ELSEWHERE, FRAMED, "setTimeout('window.ran = true')"])
async def test_a_breach_of_the_policy_is_heard_and_prevented(open_tab: OpenTab, project: Project, breach: str) -> None:
    tab = await open_tab()
    await tab.page.evaluate(f"() => {{ try {{ {breach} }} catch (error) {{ console.error(String(error)) }} }}")
    await heard(tab, "Content Security Policy")
    assert await tab.page.evaluate("() => window.ran") is None


async def test_an_exception_that_nobody_caught_is_heard(open_tab: OpenTab) -> None:
    tab = await open_tab()
    await tab.page.evaluate("() => { setTimeout(() => { throw new Error('of the test') }) }")
    await heard(tab, "uncaught: of the test")


async def test_what_a_test_did_not_expect_fails_it(open_tab: OpenTab) -> None:
    tab = await open_tab()
    await tab.page.evaluate("() => { console.error('one'); console.error('two') }")
    tab.expects("one")
    await wait_until(lambda: len(tab.faults) == 2)
    with pytest.raises(AssertionError, match=r"complained:\s+console: two"):
        no_complaints([tab])
    tab.expects("two")
    no_complaints([tab])
