"""`cronmirror connections …` as a person meets it, against a provider on loopback.

The sign-ins that need a terminal run in processes of their own, the rest in this one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from agent.app import signing_in
from agent.cli.boundary import exit_code
from agent.cli.connections import connections
from agent.errors import CronmirrorError
from tests.support.oauth_provider import CLIENT_SECRET, OAuthProvider, broken, refusal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def provider():
    with OAuthProvider() as running:
        running.device_interval_s = 1
        yield running


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the configuration is, as the working directory."""
    path = tmp_path / "work"
    path.mkdir(mode=0o700)
    monkeypatch.chdir(path)
    return path


def write(folder: Path, *lines: str) -> None:
    path = folder / "config.yaml"
    path.write_text("project: home\nconnections:\n" + "".join(f"  {each}\n" for each in lines) + "jobs: {}\n")
    path.chmod(0o600)


class Done:
    """What one command said, and how it ended."""

    def __init__(self, *arguments: str):
        found = CliRunner().invoke(connections, arguments, prog_name="cronmirror connections")
        self.out, self.err = found.stdout, found.stderr
        self.code = found.exit_code
        if isinstance(found.exception, CronmirrorError):
            self.code, self.err = exit_code(found.exception), f"{found.exception} {found.exception.hint}"
        elif found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception


@pytest.fixture
def browser(monkeypatch):
    """The browser that opens by itself; what it showed last."""
    shown: list[str] = []

    def opens(url, _environ):
        threading.Thread(target=lambda: shown.append(httpx.get(url, follow_redirects=True).text)).start()
        return True

    monkeypatch.setattr(signing_in, "open_in_browser", opens)
    return shown


def state() -> dict:
    found = Done("status", "--json")
    assert found.code == 0, found.err
    return json.loads(found.out)["connections"][0]


class Login:
    """`connections login demo` in a process of its own."""

    def __init__(self, folder: Path):
        keep = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "HOME") or "COV" in name}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent", "connections", "login", "demo"],
            cwd=folder,
            env={**keep, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.seen = ""

    def says(self, pattern: str) -> str:
        """The next line on stderr that matches from its beginning on."""
        for line in self.process.stderr:
            self.seen += line
            if found := re.match(pattern, line.strip()):
                return found[0]
        raise AssertionError(f"{pattern} was not said, but: {self.seen}")

    def end(self, stdin: str = "") -> tuple[int, str, str]:
        out, err = self.process.communicate(stdin, timeout=60)
        return self.process.returncode, out, self.seen + err


@pytest.fixture
def login(folder):
    started: list[Login] = []

    def start() -> Login:
        started.append(Login(folder))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def test_a_person_signs_in_looks_refreshes_and_revokes(folder, provider, login):
    write(folder, provider.yaml(grant="authorization_code"))
    assert state()["state"] == "Not signed in"
    begun = login()
    url = begun.says("http://.*")
    assert urlsplit(parse_qs(urlsplit(url).query)["redirect_uri"][0]).hostname == "127.0.0.1"
    listed = " ".join(psutil.Process(begun.process.pid).cmdline())
    assert "Signed in" in httpx.get(url, follow_redirects=True).text
    code, out, err = begun.end()
    assert code == 0, err
    assert out.startswith("signed in to demo as ada@example.com; the token expires in")
    found = state()
    assert (found["state"], found["account"], found["needs_reauth"]) == ("Active", "ada@example.com", False)

    refreshed = Done("refresh")
    assert (refreshed.code, provider.refreshed) == (0, 1), refreshed.err
    assert "demo: refreshed, expires in " in refreshed.out
    token = provider.given[-1]
    assert provider.accepts(token.access_token)
    table = Done("status").out
    assert "Active" in table
    everything = listed + out + err + refreshed.out + refreshed.err + table + json.dumps(found)
    for each in provider.given:
        assert each.access_token not in everything
        assert each.refresh_token not in everything
    assert CLIENT_SECRET not in everything

    revoked = Done("revoke", "demo")
    assert (revoked.code, revoked.out) == (0, "the tokens of demo are gone here and at the provider's\n")
    assert not provider.accepts(token.access_token)
    assert state()["state"] == "Needs re-authentication"
    assert Done("revoke", "demo").out == "there are no tokens of demo\n"


def test_where_no_browser_comes_back_its_address_is_handed_over(folder, provider, login):
    write(folder, provider.yaml(grant="authorization_code", redirect_uri="https://dashboard.example/oauth"))
    begun = login()
    landed = httpx.get(begun.says("http://.*")).headers["location"]
    assert landed.startswith("https://dashboard.example/oauth?")
    code, out, err = begun.end(f"{landed}\n")
    assert code == 0, err
    assert "as ada@example.com" in out
    again = login()
    again.says("http://.*")
    code, _, err = again.end(f"{landed}\n")
    assert code == 4
    assert "not the end of this sign-in" in err


def test_a_headless_box_is_signed_in_by_a_code(folder, provider, login):
    write(folder, provider.yaml())
    begun = login()
    assert begun.says("open http://.*")
    provider.answer_device(begun.says("[A-Z]{4}-[A-Z]{4}"))
    code, out, err = begun.end()
    assert code == 0, err
    assert "as ada@example.com" in out


def test_another_account_is_refused_unless_it_is_meant(folder, provider, browser):
    write(folder, provider.yaml(grant="authorization_code"))
    assert Done("login", "demo").code == 0
    provider.user = "eve@example.com"
    other = Done("login", "demo")
    assert (other.code, "--other-account" in other.err) == (5, True)
    assert state()["account"] == "ada@example.com"
    assert Done("login", "demo", "--other-account").code == 0
    assert state()["account"] == "eve@example.com"


def test_a_person_may_refuse(folder, provider, browser):
    write(folder, provider.yaml(grant="authorization_code"))
    provider.user = None
    refused = Done("login", "demo")
    assert (refused.code, "access_denied" in refused.err) == (4, True)
    assert "Not signed in" in browser[0]


def test_nobody_comes_back(folder, provider, monkeypatch):
    write(folder, provider.yaml(grant="authorization_code"))
    monkeypatch.setattr(signing_in, "PATIENCE_S", 0.01)
    monkeypatch.setattr(signing_in, "open_in_browser", lambda *_: False)
    late = Done("login", "demo")
    assert (late.code, "in time" in late.err) == (4, True)


def test_a_way_that_is_not_there_is_refused(folder, provider):
    public = {"authorization_url": None, "grant": "device_code"}
    write(folder, provider.yaml(**public), provider.yaml("far", redirect_uri="https://dashboard.example/"))
    for arguments, hint in ((("demo", "--browser"), "--device"), (("far", "--browser"), "--paste")):
        done = Done("login", *arguments)
        assert (done.code, hint in done.err) == (5, True), done.err
    write(folder, provider.yaml(device_url=None))
    assert Done("login", "demo", "--device").code == 5
    assert Done("login", "demo", "--paste", "--device").code == 2


def test_failures_have_their_exit_codes(folder, provider):
    write(folder, *(provider.yaml(name, grant="client_credentials") for name in ("demo", "other")))
    provider.faults += [broken(503), refusal("invalid_client", 401)]
    assert Done("login", "demo").code == 3
    wrong = Done("login", "demo")
    assert (wrong.code, "invalid_client" in wrong.err) == (4, True)
    unknown = Done("login", "dmo")
    assert unknown.code == 2
    assert 'there is no connection "dmo"; there are: demo, other' in unknown.err
    assert Done("login", "other").code == 0
    assert provider.accepts(provider.given[-1].access_token)


def test_one_refresh_that_fails_does_not_stop_the_others(folder, provider):
    dead = provider.yaml("dead", grant="client_credentials", token_url="http://127.0.0.1:1/token")
    write(folder, dead, provider.yaml("alive", grant="client_credentials"))
    mixed = Done("refresh")
    assert mixed.code == 1
    assert "dead: failed, 127.0.0.1 could not be reached" in mixed.out
    assert "alive: refreshed, expires in" in mixed.out


def test_tokens_that_could_not_be_revoked_are_kept(folder, provider):
    write(folder, provider.yaml(grant="client_credentials", revocation_url="http://127.0.0.1:1/revoke"))
    assert Done("login", "demo").code == 0
    kept = Done("revoke", "demo")
    assert (kept.code, "--only-here" in kept.err) == (3, True)
    assert state()["state"] == "Active"
    assert Done("revoke", "demo", "--only-here").out == "the tokens of demo are gone here\n"


def test_a_provider_that_cannot_revoke_is_named(folder, provider):
    write(folder, provider.yaml(grant="client_credentials", revocation_url=None))
    assert Done("login", "demo").code == 0
    gone = Done("revoke", "demo")
    assert gone.out == "the tokens of demo are gone here\n"
    assert "revoke the access in your account there" in gone.err


def test_without_connections_it_says_so(folder):
    (folder / "config.yaml").write_text("project: home\njobs: {}\n")
    assert Done("status").out == "there are no connections in the configuration\n"
