"""The documents made from the schema are complete, current and true."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from agent.adapters.files import bundled
from agent.config.connections import ConnectionSpec
from agent.config.document import json_schema, reference
from agent.config.schema import Defaults, JobSpec, Settings
from agent.config.tree import parse
from tests.support.config_texts import FakeLookup, config_of

PAGE = Path(__file__).parents[2] / "docs" / "config.md"


def test_the_committed_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: python -m agent.config.document > docs/config.md"


def test_every_key_is_described_with_an_example():
    for model in (Settings, Defaults, JobSpec, ConnectionSpec):
        for name, field in model.model_fields.items():
            assert field.description, name
            assert field.examples, name


@pytest.mark.parametrize(("section", "model"), [("", Settings), ("defaults", Defaults), ("jobs", JobSpec)])
def test_every_example_is_accepted(section, model):
    beside = {"concurrency": {"overlap": "allow"}, "when_offline": {"placement": "any"}}
    for name, field in model.model_fields.items():
        document: dict = {"project": "p", "supabase": {"url": "https://a.co"}, "jobs": {"j": {"run": ["x"]}}}
        home = {"": document, "defaults": document.setdefault("defaults", {}), "jobs": document["jobs"]["j"]}[section]
        if name in ("shell", "http", "python"):
            home.pop("run")
        home[name] = field.examples[0]
        home |= beside.get(name, {})
        document["connections"] = {"google-drive": {"provider": "google", "client_id": "c"}}
        document.pop("env_file", None)
        config_of(yaml.safe_dump(document), STATS_KEY="x")


@pytest.mark.parametrize("name", [name for name in ConnectionSpec.model_fields if name != "provider"])
def test_every_example_of_a_connection_is_accepted(name):
    written = {"client_id": "c", "client_secret": "s3cret", "authorization_url": "https://a.co/a"}
    written |= {"token_url": "https://a.co/t", name: ConnectionSpec.model_fields[name].examples[0]}
    document = {"project": "p", "connections": {"c": written}, "jobs": {"j": {"run": ["x"], "connection": "c"}}}
    lookup = FakeLookup({"GOOGLE_CLIENT_ID": "c"}, keyring={"google-client-secret": "s3cret"})
    config = config_of(yaml.safe_dump(document), lookup)
    assert config.warnings == ()
    schema = Draft202012Validator(json_schema())
    assert [fault.message for fault in schema.iter_errors(document)] == []


def test_the_json_schema_is_one_and_accepts_the_example():
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    example, _ = parse(bundled("config.example.yaml").read_text(), file="config.example.yaml")
    complaints = [
        f"{fault.json_path}: {fault.message}" for fault in Draft202012Validator(schema).iter_errors(example.json())
    ]
    assert complaints == []


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"project": "p", "jobs": {"j": {"evry": "1m"}}}, "$.jobs.j"),
        ({"project": "p", "jobs": {"j": {"every": "15 minuts"}}}, "$.jobs.j.every"),
        ({"project": "p", "jobs": {"j": {"run": "a b"}}}, "$.jobs.j.run"),
        ({"project": "p", "jobs": {"j": {"overlap": "maybe"}}}, "$.jobs.j.overlap"),
        ({"project": "p", "limits": {"output": "64"}}, "$.limits.output"),
        ({"jobs": {}}, "$"),
    ],
)
def test_editors_see_faults(document, path):
    errors = Draft202012Validator(json_schema()).iter_errors(document)
    assert path in [error.json_path for error in errors]


def test_the_page_names_every_section():
    page = reference()
    for section in ("Top level", "`agent`", "`supabase`", "`defaults`", "`defaults.retry`", "`jobs.<id>`"):
        assert f"### {section}\n" in page
