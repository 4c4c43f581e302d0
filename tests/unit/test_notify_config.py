"""``notify`` and ``email`` of the file: what may be said, and what is refused and how."""

import os
import pwd
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from control.config import parse
from control.errors import ConfigError
from control.notifying.settings import (
    Encryption,
    Mail,
    Notifications,
    Occasion,
    Program,
    Severity,
)
from control.notifying.users import check_users

BASE = "interfaces: [eth0]\nservices: []\n"
EMAIL = "server: mx.example, from: gw@example.org, to: [ops@example.org]"


def read(text: str) -> Notifications:
    return parse(BASE + text, "c.yaml")[0].notifications


def test_nobody_is_told_by_default() -> None:
    assert read("") == Notifications()


def test_everything_may_be_said() -> None:
    text = """
notify:
  - command: [/usr/local/bin/tell, --loud]
  - command: [/bin/page]
    user: pager
    timeout: 5
    events: [service-down, service-up]
    services: [web]
    backends: [b1]
    arguments: false
email:
  server: mx.example
  port: 2525
  tls: tls
  ca: /etc/ssl/own.pem
  user: alice
  password_file: /etc/guideway/mail.password
  from: gw@example.org
  to: [ops@example.org, noc@example.org]
  severity: critical
  gather: 5
  interval: 600
"""

    assert read(text) == Notifications(
        (
            Program(("/usr/local/bin/tell", "--loud")),
            Program(
                ("/bin/page",),
                "pager",
                5,
                frozenset({Occasion.SERVICE_DOWN, Occasion.SERVICE_UP}),
                frozenset({"web"}),
                frozenset({"b1"}),
                arguments=False,
            ),
        ),
        Mail(
            "mx.example",
            2525,
            Encryption.TLS,
            "gw@example.org",
            ("ops@example.org", "noc@example.org"),
            Path("/etc/ssl/own.pem"),
            "alice",
            Path("/etc/guideway/mail.password"),
            Severity.CRITICAL,
            5,
            600,
        ),
    )


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_goes_by_the_encryption(tls: str, port: int) -> None:
    mail = read(f"email: {{{EMAIL}, tls: {tls}}}").mail

    assert mail
    assert (mail.encryption, mail.port) == (Encryption(tls), port)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("notify: [{command: []}]", "Expected `array` of length >= 1"),
        ("notify: [{command: [tell]}]", "`command`: 'tell' is not an absolute path; there"),
        ("notify: [{command: /bin/tell}]", "Expected `array`, got `str`"),
        ('notify: [{command: [/bin/tell, "a\\0b"]}]', "Expected `str` matching regex"),
        (
            "notify: [{command: [/x], events: [backend]}]",
            "it is one of backend-up, backend-down",
        ),
        ("notify: [{command: [/x], events: []}]", "Expected `array` of length >= 1"),
        (
            "notify: [{command: [/x], backends: [b1]}]",
            "`backends` needs `services`: of which",
        ),
        ("notify: [{command: [/x], timeout: 0}]", "Expected `float` >= 0.1"),
        ("notify: [{command: [/x], user: 'a b'}]", "the name of a user of this host"),
        ("notify: [{comand: [/x]}]", "did you mean `command`?"),
        ("email: {server: mx}", "Object missing required field `from`"),
        ("email: {server: 'mx:25', from: a@b, to: []}", "Expected `array` of length >= 1"),
        ("email: {server: 'mx 1', from: a@b, to: [a@b]}", "the name or address of a host"),
        ("email: {server: mx, from: gw, to: [a@b]}", "`from`: 'gw' is not a mail address"),
        (
            'email: {server: mx, from: a@b, to: ["a@b\\r\\nBcc: x@y"]}',
            "is not a mail address, user@host",
        ),
        (f"email: {{{EMAIL}, severity: urgent}}", "'urgent' is not warning or critical"),
        (f"email: {{{EMAIL}, tls: maybe}}", "it is one of starttls, tls, none"),
        (f"email: {{{EMAIL}, user: a}}", "`user` and `password_file` go together"),
        (
            f"email: {{{EMAIL}, password_file: /x}}",
            "`user` and `password_file` go together",
        ),
        (
            f"email: {{{EMAIL}, tls: none, user: a, password_file: /x}}",
            "`tls: none` would show the password to everybody on the way",
        ),
        (f"email: {{{EMAIL}, tls: none, ca: /x}}", "`ca` is of no use with `tls: none`"),
        (f"email: {{{EMAIL}, interval: 0}}", "Expected `float` >= 1.0"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_with_its_place(
    text: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        read(text)

    said = str(raised.value)
    assert sentence in said
    assert said.startswith(("c.yaml:3: notify[0]", "c.yaml:3: email"))
    assert "\n" not in said


def test_a_user_that_this_host_has_not_is_refused() -> None:
    notifications = read("notify: [{command: [/x]}, {command: [/x], user: nobody-here}]")

    with pytest.raises(ConfigError) as raised:
        check_users(notifications)

    assert str(raised.value) == (
        "notify[1].user: this host has no user 'nobody-here'; `useradd --system "
        "nobody-here` makes one"
    )


def test_without_the_capabilities_only_our_own_user_will_do() -> None:
    few = "Name:\tguidewayd\nCapEff:\t000000c000001060\n"  # has CAP_KILL and CAP_SETGID
    me = pwd.getpwuid(os.geteuid()).pw_name

    check_users(read(f"notify: [{{command: [/x], user: {me}}}]"), few)
    check_users(read("notify: [{command: [/x]}]"), few.replace("60", "e0"))
    with pytest.raises(ConfigError) as raised:
        check_users(read("notify: [{command: [/x], user: daemon}]"), few)

    assert str(raised.value) == (
        "notify[0].user: to run a program as 'daemon', and to end it, guidewayd needs "
        "CAP_SETUID; in its systemd unit: CapabilityBoundingSet=CAP_SETUID"
    )


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["command", "events", "user", "server", "to", "from", "tls", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(["notify", "email"]), VALUES)
def test_anything_is_taken_or_refused_in_one_line(key: str, value: object) -> None:
    text = BASE + yaml.safe_dump({key: value})

    try:
        parse(text, "c.yaml")
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017
