"""Names under which this machine may be asked: DNS rebinding comes under another one."""

from __future__ import annotations

import pytest

from agent.control.hosts import is_ours, own_name


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:54321", "127.8.9.10:80", "localhost", "LOCALHOST:3000", "box.localhost:1", "[::1]:54321"],
)
def test_loopback_is_ours(host: str) -> None:
    assert is_ours(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "evil.example:54321", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost"),
        *(
            "192.168.1.2",
            "0.0.0.0",  # noqa: S104 - a header, not a binding
            "[2001:db8::1]",
            "[::1",
            "127.0.0.1, evil.example",
            "127.0.0.1:80:80",
            "localhost ",
        ),
        *("localhost:99999999", "user@localhost", "localhost/x", "127.1", "0x7f.0.0.1", "[evil.example]"),
    ],
)
def test_everything_else_is_not(host: str) -> None:
    assert not is_ours(host)


def test_a_name_that_was_configured_is_ours_under_any_port() -> None:
    assert is_ours("Cron.Lan:8443", {"cron.lan"})
    assert not is_ours("evil.lan", {"cron.lan"})


@pytest.mark.parametrize(
    ("given", "name"),
    [("Cron.Lan", "cron.lan"), (" cron.example.com. ", "cron.example.com"), ("192.168.1.4", "192.168.1.4")],
)
def test_a_further_name_is_written_as_a_browser_may_send_it(given: str, name: str) -> None:
    assert own_name(given) == name
    assert is_ours(name, {own_name(given)})


@pytest.mark.parametrize("given", ["", "*", "*.lan", "cron.*", "https://cron.lan", "cron.lan:84", "a b", "a/b", "a,b"])
def test_what_is_no_host_name_is_refused_patterns_above_all(given: str) -> None:
    with pytest.raises(ValueError, match="is no host name"):
        own_name(given)
