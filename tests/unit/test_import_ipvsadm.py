"""What ``ipvsadm-save -n`` prints, as guidewayd's file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control import config
from control.checks import TcpCheck
from control.desired import DesiredState
from control.importing.accepted import accepted
from control.importing.ipvsadm import import_ipvsadm
from control.importing.notes import RefusedError
from control.importing.plain import Imported
from control.model import Hash, Mode, Protocol

RULES = """\
-A -t 192.0.2.1:80 -s wrr
-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m -w 3
-a -t 192.0.2.1:80 -r 10.0.0.2:8080 -m -w 1
-A -t 192.0.2.1:443 -s rr -p 300
-a -t 192.0.2.1:443 -r 10.0.0.1:443 -g -w 5
-A -u [2001:db8::1]:53 -s mh -b mh-port,mh-fallback
-a -u [2001:db8::1]:53 -r [2001:db8::11]:53 -g -w 1
-A -f 7 -s wlc
-a -f 7 -r 10.0.0.3:0 -g -w 1
"""


def imported(text: str) -> Imported:
    return import_ipvsadm("rules", text, ("eth0",))


def services(result: Imported) -> DesiredState:
    """Return the services as guidewayd reads them."""
    assert result.guidewayd is not None
    text = accepted("guidewayd", result.guidewayd, "test")
    return config.parse(text, "guideway.yaml")[1]


def test_rules_become_services() -> None:
    result = imported(RULES)
    web, tls, dns = services(result)

    assert (web.where, web.mode, web.checks) == (
        "192.0.2.1:80/tcp",
        Mode.NAT,
        (TcpCheck(),),
    )
    assert [(b.identity, b.weight) for b in web.backends] == [
        ("10.0.0.1:8080", 3),
        ("10.0.0.2:8080", 1),
    ]
    assert (tls.where, tls.mode, tls.hash) == ("192.0.2.1:443/tcp", Mode.DR, Hash.SOURCE)
    assert [b.weight for b in tls.backends] == [1]
    assert (dns.where, dns.protocol) == ("[2001:db8::1]:53/udp", Protocol.UDP)
    assert (dns.hash, dns.checks) == (Hash.FLOW, ())
    assert [str(note).partition(" ")[0] for note in result.notes] == [
        "rules:4:",
        "rules:8:",
    ]


def test_long_options_and_the_command_itself_are_read_too() -> None:
    text = (
        "ipvsadm --add-service --tcp-service 192.0.2.1:80 --scheduler wrr\n\n"
        "ipvsadm --add-server --tcp-service 192.0.2.1:80 --real-server 10.0.0.1:80 "
        "--gatewaying --weight 2\n"
    )
    (web,) = services(imported(text))

    assert (web.mode, web.backends[0].weight) == (Mode.DR, 2)


ONE = "-A -t 192.0.2.1:80 -s wrr\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 1\n"


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("-a -t 192.0.2.1:80 -r 10.0.0.2:80 -i", "-i: there are no tunnels"),
        ("-a -t 192.0.2.1:80 -r 10.0.0.2:81 -g", "10.0.0.2:81: port 81 differs from"),
        ("-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g", "10.0.0.1:80: it is there already"),
        ("-a -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 70000", "10.0.0.2:80: the weight 70000"),
        ("-a -t 192.0.2.1:80 -r web:http -g", "web:http: 'web' is not an IP address"),
        ("-a -t 192.0.2.1:80 -g", "-r: '' is not an IP address; left out"),
        ("-A -t 192.0.2.1:80 -s rr", "tcp 192.0.2.1:80: is there already; left out"),
        ("-A -t 192.0.2.2:80 -s rr", "192.0.2.2:80: has no server; left out"),
        ("-A --sctp-service 192.0.2.2:80 -s rr", "192.0.2.2:80: there is no SCTP"),
        ("-A -f 3 -s rr\n-a -f 3 -r 10.0.0.2:0 -g", "3: packets are known by address"),
    ],
)
def test_what_cannot_be_is_left_out_with_a_note(line: str, note: str) -> None:
    result = imported(f"{ONE}{line}")

    assert [b.identity for b in services(result).services[0].backends] == ["10.0.0.1:80"]
    assert next(str(one).partition(" ")[2] for one in result.notes).startswith(note)
    assert len(result.notes) == 1


def test_all_servers_of_a_service_have_the_mode_of_the_first() -> None:
    result = imported(f"{ONE}-a -t 192.0.2.1:80 -r 10.0.0.2:80 -m -w 1")
    (web,) = services(result)

    assert (web.mode, len(web.backends), len(result.notes)) == (Mode.DR, 2, 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "rules: has no service to import"),
        (
            "IP Virtual Server version 1.2.1",
            "rules:1: is no rule as `ipvsadm-save -n` prints",
        ),
        ("-A -s wrr", "rules:1: names no service: -t, -u or -f"),
        ("-A -t", "rules:1: -t has no value"),
        (
            "-A -t 192.0.2.1:80 --bogus",
            "rules:1: '--bogus' is no option that `ipvsadm-save",
        ),
        (
            "-a -t 192.0.2.1:80 -r 10.0.0.1:80",
            "rules:1: the service tcp 192.0.2.1:80 is not",
        ),
        ("-A -t '192.0.2.1:80", "rules:1: a quote is not closed"),
        ("-A -f 3 -s rr", "rules: has no service to import; rules:1: 3: packets are known"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(RefusedError) as raised:
        imported(text)

    assert str(raised.value).startswith(sentence)


def test_interfaces_have_to_be_named() -> None:
    with pytest.raises(RefusedError, match="name those of guidewayd by --interface"):
        import_ipvsadm("rules", ONE, ())


def outcome(text: str) -> tuple[Imported | None, str]:
    try:
        return imported(text), ""
    except RefusedError as error:
        return None, str(error)


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from([*RULES.split(), "\n", "\n-a", "\n-A"])).map(" ".join)
)
def test_any_text_is_imported_or_refused_in_a_sentence(text: str) -> None:
    result, said = outcome(text)

    assert said.isprintable()
    if result is not None:
        assert services(result).services
