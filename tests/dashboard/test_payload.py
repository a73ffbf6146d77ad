"""The form of a job that takes a payload: made from its JSON Schema, judged by it, and what is sent reaches the job."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from agent.cli.demo.operator import Operator
from tests.dashboard.conftest import AgentWith, OpenTab
from tests.dashboard.job_rows import job_row, requests, says
from tests.e2e.conftest import ended
from tests.support.stack import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

JOBS = """\
jobs:
  resize:
    name: Resize
    run: [cat]
    payload:
      type: object
      required: [file, width]
      additionalProperties: false
      properties:
        file: {type: string, title: Picture, description: Below the home folder, minLength: 3, pattern: "^[a-z.]+$"}
        width: {type: integer, minimum: 1, maximum: 5000, default: 1200}
        format: {enum: [jpeg, webp, 2], default: webp}
        keep: {type: boolean, title: Keep the original, default: true}
        labels: {type: array, items: {type: string}}
        crop: {type: object, required: [left], properties: {left: {type: integer}}}
  anything: {name: Anything, run: [cat], payload: {type: [object, array]}}
"""


async def received(operator: Operator) -> Any:
    """What the newest run printed of the payload that it was given, once it has ended."""
    (request,) = await operator.select("cron_run_requests", order="requested_at.desc", limit="1")
    row = await ended(operator, request["id"])
    assert row["status"] == "done"
    assert json.loads(row["result"]["stdout_tail"]) == row["payload"]
    return row["payload"]


async def form(page: Page, name: str) -> Locator:
    await page.get_by_role("button", name=f"Run {name}", exact=True).click()
    dialog = page.get_by_role("dialog", name=f"Run {name}")
    await expect(dialog).to_be_visible()
    return dialog


async def send(dialog: Locator) -> None:
    await dialog.get_by_role("button", name="Run", exact=True).click()


async def test_a_form_of_the_schema_begins_with_its_defaults_and_what_is_filled_in_reaches_the_job(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with(JOBS)
    page = (await open_tab(project.operator)).page
    dialog = await form(page, "Resize")
    await expect(dialog.get_by_label("Picture")).to_be_focused()
    await expect(dialog.get_by_text("Below the home folder")).to_be_visible()
    await expect(dialog.get_by_label("width")).to_have_value("1200")
    await expect(dialog.get_by_role("combobox", name="format")).to_have_value("webp")
    await expect(dialog.get_by_label("Keep the original")).to_be_checked()

    await dialog.get_by_label("Picture").fill("a.png")
    await send(dialog)
    await expect(dialog).to_be_hidden()
    await says(job_row(page, "resize"), "ok")
    assert await received(operator) == {"file": "a.png", "width": 1200, "format": "webp", "keep": True}

    dialog = await form(page, "Resize")
    await dialog.get_by_label("Picture").fill("b.png")
    await dialog.get_by_label("width").fill("80")
    await dialog.get_by_role("combobox", name="format").click()
    await page.get_by_role("option", name="2", exact=True).click()
    await dialog.get_by_label("Keep the original").uncheck()
    await dialog.get_by_label("labels").fill("red")
    await dialog.get_by_label("labels").press("Enter")
    await dialog.get_by_label("labels").fill("blue")
    await dialog.get_by_label("labels").press("Enter")
    await dialog.get_by_label("crop").fill('{"left": 4}')
    await send(dialog)
    await expect(dialog).to_be_hidden()
    await expect(requests(page)).to_have_count(2)
    sent = {"file": "b.png", "width": 80, "format": 2, "keep": False, "labels": ["red", "blue"], "crop": {"left": 4}}
    assert await received(operator) == sent

    # Once more, with what was sent then.
    await says(requests(page).first, "done")
    await requests(page).first.get_by_role("button", name="Run again: Resize").click()
    dialog = page.get_by_role("dialog", name="Run Resize")
    await expect(dialog.get_by_label("Picture")).to_have_value("b.png")
    await expect(dialog.get_by_label("Keep the original")).not_to_be_checked()
    await send(dialog)
    await expect(requests(page)).to_have_count(3)
    assert await received(operator) == sent


async def test_what_the_schema_refuses_is_said_at_its_field_and_nothing_is_queued(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with(JOBS)
    page = (await open_tab(project.operator)).page
    dialog = await form(page, "Resize")
    await dialog.get_by_label("width").fill("9000")
    await dialog.get_by_label("crop").fill('{"left": "far"}')
    await send(dialog)
    for label in ("Picture", "width", "crop"):
        await expect(dialog.get_by_label(label)).to_have_attribute("aria-invalid", "true")
    await expect(dialog.get_by_text("This is needed.")).to_be_visible()
    await expect(dialog.get_by_label("format")).not_to_have_attribute("aria-invalid", "true")

    await dialog.get_by_label("crop").fill("{not json")
    await send(dialog)
    await expect(dialog.get_by_text("This is not JSON.")).to_be_visible()
    await dialog.get_by_label("Picture").fill("A B")
    await dialog.get_by_label("crop").fill("")
    await dialog.get_by_label("width").fill("5000")
    await send(dialog)
    await expect(dialog.get_by_label("Picture")).to_have_attribute("aria-invalid", "true")
    await expect(dialog.get_by_label("width")).not_to_have_attribute("aria-invalid", "true")
    assert await operator.select("cron_run_requests") == []

    await dialog.get_by_role("button", name="Cancel").click()
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_role("button", name="Run Resize")).to_be_focused()
    assert await operator.select("cron_run_requests") == []


async def test_the_form_and_its_json_are_two_views_of_one_payload_and_a_schema_without_fields_has_the_second_alone(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with(JOBS)
    page = (await open_tab(project.operator)).page
    dialog = await form(page, "Resize")
    await dialog.get_by_label("Picture").fill("a.png")
    await dialog.get_by_role("button", name="As JSON").click()
    written = {"file": "a.png", "width": 1200, "format": "webp", "keep": True}
    assert json.loads(await dialog.get_by_label("Payload").input_value()) == written
    await dialog.get_by_label("Payload").fill(json.dumps(written | {"size": 3}))
    await send(dialog)
    await expect(dialog.get_by_role("alert")).to_contain_text("size")
    await dialog.get_by_label("Payload").fill(json.dumps(written | {"width": 7}))
    await dialog.get_by_role("button", name="As a form").click()
    await expect(dialog.get_by_label("width")).to_have_value("7")
    await send(dialog)
    await expect(requests(page)).to_have_count(1)
    assert await received(operator) == written | {"width": 7}

    dialog = await form(page, "Anything")
    await dialog.get_by_label("Payload").fill("[1, 2")
    await send(dialog)
    await expect(dialog.get_by_text("This is not JSON.")).to_be_visible()
    await dialog.get_by_label("Payload").fill("[1, {}]")
    await send(dialog)
    await expect(requests(page)).to_have_count(2)
    assert await received(operator) == [1, {}]
