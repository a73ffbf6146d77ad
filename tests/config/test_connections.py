"""Connections in the YAML: presets, what wins over them, and every fault with its line."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agent.config.providers import GENERIC, PROVIDERS
from agent.model import BodyStyle, ClientAuth, Connection, Grant, HandOver, Revocation, Thresholds
from tests.support.config_texts import FakeLookup, config_of, problems_of

PRESETS = sorted(set(PROVIDERS) - {GENERIC})


def connection_of(body: str, **variables: str) -> Connection:
    """The connection `c` whose flow mapping is `body`."""
    text = f"project: p\nconnections: {{c: {body}}}\njobs: {{j: {{run: [a], connection: c}}}}"
    return config_of(text, **variables).connections[0]


def faults_of(body: str, **variables: str) -> list[str]:
    """Messages without `config.yaml:2: connections.c`."""
    text = f"project: p\nconnections: {{c: {body}}}\njobs: {{j: {{run: [a], connection: c}}}}"
    found = problems_of(text, **variables)
    return [problem.removeprefix("config.yaml:2: connections.c").removeprefix(".") for problem in found]


def test_a_preset_needs_little_more_than_the_client():
    found = connection_of("{provider: google, client_id: id-1, client_secret: '${S}', scopes: [openid]}", S="hush-hush")
    assert found == Connection(
        connection_id="c",
        provider="google",
        client_id="id-1",
        client_secret="hush-hush",
        authorization_url="https://accounts.google.com/o/oauth2/v2/auth",
        token_url="https://oauth2.googleapis.com/token",
        device_url="https://oauth2.googleapis.com/device/code",
        revocation_url="https://oauth2.googleapis.com/revoke",
        client_auth=ClientAuth.POST,
        scopes=("openid",),
        extra={"access_type": "offline", "prompt": "consent"},
        account_fields=("email",),
        env="C_ACCESS_TOKEN",
    )


def test_what_is_written_wins_over_the_preset():
    found = connection_of(
        """{provider: google, client_id: i, client_secret: s3cret, token_url: "https://example.com/t",
        authorization_url: "https://example.com/a", revocation_url: "https://example.com/r", client_auth: basic,
        pkce: no, extra: {prompt: none, hd: example.com}, token_extra: {audience: x}, grant: device_code,
        device_url: "http://127.0.0.1:8080/d", account_url: "https://example.com/me", account_field: me.mail,
        env: TOKEN, hand_over: file, redirect_port: 5000, redirect_uri: "https://example.com/cb"}"""
    )
    assert (found.token_url, found.authorization_url) == ("https://example.com/t", "https://example.com/a")
    assert (found.revocation_url, found.device_url) == ("https://example.com/r", "http://127.0.0.1:8080/d")
    assert (found.client_auth, found.pkce, found.grant) == (ClientAuth.BASIC, False, Grant.DEVICE_CODE)
    assert found.extra == {"access_type": "offline", "prompt": "none", "hd": "example.com"}
    assert (found.token_extra, found.env, found.hand_over) == ({"audience": "x"}, "TOKEN", HandOver.FILE)
    assert (found.account_fields, found.account_url) == (("me.mail",), "https://example.com/me")
    assert (found.redirect_port, found.redirect_uri) == (5000, "https://example.com/cb")


def test_without_a_preset_everything_is_as_the_rfcs_have_it():
    urls = "token_url: 'https://a.co/t', authorization_url: 'https://a.co/a'"
    found = connection_of(f"{{client_id: i, client_secret: s3cret, {urls}}}")
    assert (found.provider, found.grant, found.client_auth) == ("generic", Grant.AUTHORIZATION_CODE, ClientAuth.BASIC)
    assert (found.pkce, found.body, found.revocation) == (True, BodyStyle.FORM, Revocation.TOKEN)
    public = connection_of(f"{{client_id: i, client_auth: basic, pkce: yes, {urls}}}")
    assert public.client_auth is ClientAuth.NONE, "there is no secret to show"
    device = connection_of("{client_id: i, token_url: 'https://a.co/t', device_url: 'https://a.co/d'}")
    assert device.grant is Grant.DEVICE_CODE
    nobody = connection_of(
        "{client_id: i, client_secret: s3cret, token_url: 'https://a.co/t', grant: client_credentials}"
    )
    assert nobody.grant is Grant.CLIENT_CREDENTIALS


def test_a_public_client_proves_itself_by_pkce_whatever_the_preset_says():
    assert connection_of("{provider: square, client_id: i, client_secret: s3cret}").pkce is False
    assert connection_of("{provider: square, client_id: i}").pkce is True


def test_shop_and_tenant_are_part_of_addresses():
    shop = connection_of("{provider: shopify, client_id: i, client_secret: s3cret, shop: My-shop.myshopify.com}")
    assert shop.token_url == "https://My-shop.myshopify.com/admin/oauth/access_token"
    assert connection_of("{provider: microsoft, client_id: i}").token_url.split("/")[3] == "common"
    found = connection_of("{provider: microsoft, client_id: i, tenant: contoso.onmicrosoft.com}")
    assert found.device_url == "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/devicecode"


def test_scopes_without_which_nothing_can_be_refreshed_are_added_where_a_person_signs_in():
    assert connection_of("{provider: microsoft, client_id: i, scopes: [User.Read, offline_access]}").scopes == (
        "User.Read",
        "offline_access",
    )
    assert connection_of("{provider: microsoft, client_id: i, scopes: [a]}").scopes == ("a", "offline_access")
    alone = "{provider: microsoft, client_id: i, client_secret: s3cret, scopes: [b], grant: client_credentials}"
    assert connection_of(alone).scopes == ("b",)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_whole_and_says_where_it_is_from(name):
    assert len(PROVIDERS[name].source) > 20
    shop = ", shop: s" if name == "shopify" else ""
    found = connection_of(f"{{provider: {name}, client_id: i, client_secret: s3cret{shop}}}")
    for url in (
        found.token_url,
        found.authorization_url,
        found.device_url,
        found.revocation_url,
        found.refresh_url,
        found.account_url,
    ):
        assert url is None or (urlsplit(url).scheme == "https" and urlsplit(url).hostname and "{" not in url)
    assert found.token_url
    assert found.authorization_url
    assert found.grant is not Grant.DEVICE_CODE or found.device_url


def test_there_are_a_dozen_presets():
    assert (
        sorted(
            [
                "google",
                "microsoft",
                "github",
                "slack",
                "notion",
                "dropbox",
                "quickbooks",
                "john-deere",
                "clover",
                "square",
                "shopify",
                "hubspot",
            ]
        )
        == PRESETS
    )


@pytest.mark.parametrize(
    ("connection_id", "hand_over", "variable"),
    [
        ("google-drive", "env", "GOOGLE_DRIVE_ACCESS_TOKEN"),
        ("a.b_c", "file", "A_B_C_ACCESS_TOKEN_FILE"),
        ("1st", "env", "_1ST_ACCESS_TOKEN"),
    ],
)
def test_the_variable_is_named_after_the_connection(connection_id, hand_over, variable):
    text = f"project: p\nconnections: {{{connection_id}: {{provider: github, client_id: i, hand_over: {hand_over}}}}}"
    assert config_of(text).connections[0].env == variable


def test_secrets_are_known_as_such_and_kept_from_jobs_and_reprs():
    text = """
    project: p
    connections: {c: {provider: google, client_id: '${ID}', client_secret: '${SECRET}'}}
    jobs: {j: {run: [a], connection: c}}
    """
    config = config_of(text, FakeLookup({"ID": "client-1", "SECRET": "hush-hush"}))
    assert config.secrets == {"hush-hush"}
    assert config.withheld_env == {"SECRET"}
    assert "hush-hush" not in repr(config)
    assert config.connection("c") == config.connections[0]
    assert config.connection("d") is None
    assert config.jobs[0].connection == "c"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{}", "client_id: is missing; write e.g. `client_id: ${GOOGLE_CLIENT_ID}`"),
        ("{client_id: i}", ": needs `token_url:`, or a `provider:` whose preset has it"),
        ("{provider: gogle, client_id: i}", "did you mean google?"),
        ("{provider: shopify, client_id: i}", ": needs `shop:` for provider shopify"),
        ("{client_id: i, token_url: 'https://a.co/t'}", ": needs `authorization_url:` (or `device_url:`, or another"),
        ("{client_id: i, token_url: 'https://a.co/t', grant: device_code}", "grant: needs `device_url:`"),
        ("{client_id: i, token_url: 'https://a.co/t', grant: authorization_code}", "grant: needs `authorization_url:`"),
        ("{provider: slack, client_id: i, grant: device_code}", "grant: needs `device_url:`"),
        ("{provider: google, client_id: i, grant: client_credentials}", ": needs `client_secret:` for `grant: client"),
        ("{provider: google, client_id: i, token_url: 'http://a.co/t'}", 'token_url: "http://a.co/t" is not https'),
        ("{provider: google, client_id: i, token_url: 'https://u:p@a.co/t'}", "has a user, a password"),
        ("{provider: google, client_id: i, token_url: a.co}", "is not an http(s) URL"),
        ("{provider: google, client_id: i, shop: a/b}", 'shop: "a/b" is more than a name'),
        ("{provider: google, client_id: i, redirect_port: 80}", 'redirect_port: "80" is too small'),
        ("{provider: google, client_id: i, env: CRONMIRROR_X}", 'env: "CRONMIRROR_X" is reserved'),
        ("{provider: google, client_id: i, secret: x}", "unknown key; did you mean `client_secret`?"),
        ("{provider: google, client_id: i, client_secret: {a: hush}}", "client_secret: expects text, not a mapping"),
        ("{provider: google, client_id: i, extra: {state: x}}", '"state" is set by the agent itself; drop it'),
        ("{provider: google, client_id: i, token_extra: {scope: x}}", '"scope" is set by the agent itself'),
        ("google", "expects keys with values below it"),
    ],
)  # fmt: skip
def test_every_fault_has_its_line_and_what_to_do(body, said):
    found = faults_of(body)
    assert any(said in each for each in found), found


def test_a_job_names_a_connection_that_is_there():
    text = """\
    project: p
    connections:
      google-drive: {provider: google, client_id: i}
    jobs:
      a: {run: [x], connection: google-drive}
      b:
        run: [x]
        connection: gogle-drive
      c: {run: [x], connection: slack}
    """
    assert problems_of(text) == [
        'config.yaml:8: jobs.b.connection: "gogle-drive" is none of the connections; did you mean google-drive?',
        'config.yaml:9: jobs.c.connection: "slack" is none of the connections (google-drive); add it to `connections:`',
    ]


def test_a_connection_that_no_job_uses_is_doubted():
    config = config_of("project: p\nconnections: {c: {provider: github, client_id: i}}\njobs: {j: {run: [a]}}")
    assert [str(each) for each in config.warnings] == [
        "config.yaml:2: connections.c: no job uses it; name it with `connection:` in a job"
    ]


def test_each_threshold_is_the_keepers_unless_the_yaml_has_another():
    assert config_of("project: p\njobs: {j: {run: [a]}}").thresholds == Thresholds()
    text = """
    project: p
    tokens: {sweep_every: 1m, sweep_ahead: 30m, run_ahead: 2m, idle: 7d, warn_at: 4, disconnect_at: 6,
             rate_limit_notice_at: 8}
    jobs: {j: {run: [a]}}
    """
    assert config_of(text).thresholds == Thresholds(
        sweep_every_s=60.0,
        sweep_ahead_s=1_800.0,
        run_ahead_s=120.0,
        idle_s=7 * 86_400.0,
        warn_at=4,
        disconnect_at=6,
        rate_limit_notice_at=8,
    )


def test_an_unknown_key_is_sent_home():
    found = problems_of("project: p\nclient_secret: x\njobs: {j: {run: [a]}}")
    assert found == ["config.yaml:2: client_secret: unknown key here; it belongs under a connection"]


def test_the_page_names_every_preset_and_its_source():
    page = (Path(__file__).parents[2] / "docs" / "connections.md").read_text(encoding="utf-8")
    for name in PRESETS:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert PROVIDERS[name].source in row
