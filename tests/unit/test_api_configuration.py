"""The API: desired states as a whole, and their history."""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.api.convert_configuration import state_from_pb, state_to_pb
from control.api.v1 import configuration_pb2 as pb
from control.api.v1 import difference_pb2, guideway_pb2
from control.desired import DesiredState
from tests.support.api_client import ADD_WEB
from tests.support.configuration import Api, configuration_api, web
from tests.support.desired_states import desired_states
from tests.support.full_disk import full_disk

EMPTY = DesiredState()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with configuration_api(tmp_path) as api:
        yield api


@given(desired_states())
def test_a_state_is_the_same_after_its_way_through_messages(state: DesiredState) -> None:
    assert state_from_pb(state_to_pb(state)) == state


def test_a_state_is_applied_whole_and_once(api: Api) -> None:
    first = api.apply(web(1, 2), comment="ticket 42")
    again = api.apply(web(1, 2), comment="once more")

    assert (first.version, again.version) == (1, 1)
    assert [one.name for one in first.difference.services] == ["web"]
    assert again.difference == difference_pb2.Difference()
    assert api.exported() == (1, web(1, 2))
    assert api.apply(EMPTY).version == 2
    assert api.exported() == (2, EMPTY)


def test_a_dry_run_answers_as_if_and_changes_nothing(api: Api) -> None:
    api.apply(web(1, 1))
    dry = api.apply(web(1, 3), dry_run=True)

    assert api.exported() == (1, web(1, 1))
    real = api.apply(web(1, 3))
    assert (dry.version, real.version) == (1, 2)
    assert dry.difference == real.difference
    [service] = real.difference.services
    assert 0 < service.disruption.flows < 0.5
    assert service.disruption.broken == 0


def test_health_counts_in_what_a_change_does(api: Api) -> None:
    api.apply(web(1, 1))
    api.node.down["b1"] = "refuses"

    answer = api.apply(web(1, 3), dry_run=True)

    assert answer.difference.services[0].disruption.moved == 0


def test_every_way_to_change_is_in_the_history(api: Api) -> None:
    before = time.time()
    api.load_balancer.AddService(ADD_WEB)
    metadata = (("guideway-client", "cli"), ("guideway-user", "alice"))
    request = pb.ApplyRequest(state=state_to_pb(web(1)), comment="ticket 42")
    api.configuration.Apply(request, metadata=metadata)
    api.configuration.Rollback(pb.RollbackRequest(version=1))

    answer = api.configuration.ListVersions(pb.ListVersionsRequest())

    facts = [(v.version, v.source, v.author, v.comment) for v in answer.versions]
    assert facts == [
        (3, pb.SOURCE_API, "root", "rollback to version 1"),
        (2, pb.SOURCE_CLI, "alice", "ticket 42"),
        (1, pb.SOURCE_API, "root", "add service web"),
    ]
    assert all(before <= version.time <= time.time() for version in answer.versions)
    assert answer.current == 3


def test_the_history_is_listed_page_by_page(api: Api) -> None:
    for weight in range(1, 6):
        api.apply(web(weight))

    def page(**asked: int) -> list[int]:
        answer = api.configuration.ListVersions(pb.ListVersionsRequest(**asked))
        return [version.version for version in answer.versions]

    assert page() == [5, 4, 3, 2, 1]
    assert page(limit=2) == [5, 4]
    assert page(limit=2, before=4) == [3, 2]
    assert page(before=1) == []


@pytest.mark.parametrize("user", ["a b", "", "x" * 65, "-x", "a;b"])
def test_a_user_that_is_none_is_not_believed(api: Api, user: str) -> None:
    request = pb.ApplyRequest(state=state_to_pb(web(1)))
    api.configuration.Apply(request, metadata=(("guideway-user", user),))

    [version] = api.configuration.ListVersions(pb.ListVersionsRequest()).versions
    assert version.author == "root"


def test_versions_and_states_are_compared(api: Api) -> None:
    api.apply(web(1))
    api.apply(web(2))
    api.apply(EMPTY)

    def diff(request: pb.DiffRequest) -> list[tuple[str, int]]:
        found = api.configuration.Diff(request).difference
        return [(one.name, one.change) for one in found.services]

    def between(old: int, new: int | None = None) -> pb.DiffRequest:
        return pb.DiffRequest(**{"from": old}, to_version=new)

    changed, added = (
        ("web", difference_pb2.CHANGE_CHANGED),
        ("web", difference_pb2.CHANGE_ADDED),
    )
    assert diff(between(1, 2)) == [changed]
    assert diff(between(0, 2)) == [added]
    assert diff(pb.DiffRequest(**{"from": 2})) == [("web", difference_pb2.CHANGE_REMOVED)]
    assert diff(pb.DiffRequest(to_state=state_to_pb(web(1)))) == [added]
    assert diff(pb.DiffRequest(**{"from": 1}, to_state=state_to_pb(web(9)))) == [changed]
    assert diff(pb.DiffRequest()) == []


def test_a_version_is_shown_with_its_state(api: Api) -> None:
    api.apply(web(1), comment="first")
    api.apply(web(2))

    answer = api.configuration.GetVersion(pb.GetVersionRequest(version=1))

    assert (answer.version.version, answer.version.comment) == (1, "first")
    assert state_from_pb(answer.state) == web(1)
    old = api.configuration.Export(pb.ExportRequest(version=1))
    assert (old.version, old.state) == (1, answer.state)


def test_a_change_for_another_version_is_refused(api: Api) -> None:
    api.apply(web(1), expected_version=0)

    with pytest.raises(grpc.RpcError) as refused:
        api.apply(web(2), expected_version=0)

    assert refused.value.code() is grpc.StatusCode.ABORTED
    assert refused.value.details() == (
        "version 0 is expected, and the desired state is version 1 by now: `guideway diff "
        "0` shows what is new; if the change is still right, expect version 1"
    )
    assert api.apply(web(2), expected_version=1).version == 2


def test_what_waits_is_shown_confirmed_or_rolled_back(api: Api) -> None:
    api.apply(web(1))
    answer = api.apply(web(2), confirm_timeout=600)
    status = api.load_balancer.GetStatus(guideway_pb2.GetStatusRequest())

    assert (answer.pending.version, answer.pending.base) == (2, 1)
    assert 0 < status.node.pending.remaining <= answer.pending.remaining <= 600
    with pytest.raises(grpc.RpcError) as refused:
        api.load_balancer.RemoveService(guideway_pb2.RemoveServiceRequest(name="web"))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details().startswith("version 2 waits to be confirmed, for ")

    assert api.configuration.Confirm(pb.ConfirmRequest()).version == 2
    api.apply(web(3), confirm_timeout=600)
    undone = api.configuration.Rollback(pb.RollbackRequest(version=2))
    assert not undone.HasField("pending")
    assert api.exported() == (4, web(2))


@pytest.mark.parametrize(
    ("request_", "code", "sentence"),
    [
        (pb.ApplyRequest(), "INVALID_ARGUMENT", "state: is required; one without services"),
        (
            pb.ApplyRequest(state=pb.DesiredState(services=[pb.DesiredService()])),
            "INVALID_ARGUMENT",
            "state.services[0]: service.port: is required",
        ),
        (
            pb.ApplyRequest(state=state_to_pb(web(1)), comment="a\nb"),
            "INVALID_ARGUMENT",
            "comment: has a line break",
        ),
        (
            pb.ApplyRequest(state=state_to_pb(web(1)), comment="x" * 501),
            "INVALID_ARGUMENT",
            "comment: has 501 characters; 500 are allowed",
        ),
        (
            pb.ApplyRequest(state=state_to_pb(web(1)), confirm_timeout=0.1, dry_run=True),
            "INVALID_ARGUMENT",
            "confirm_timeout: 0.1 s is not in 1…86400 s",
        ),
        (pb.RollbackRequest(version=7), "NOT_FOUND", "no version 7: `guideway history`"),
        (pb.GetVersionRequest(version=0), "NOT_FOUND", "no version 0: `guideway"),
        (pb.GetVersionRequest(version=2**64 - 1), "NOT_FOUND", "no version 184467440737"),
        (pb.ListVersionsRequest(before=2**64 - 1), "", ""),
        (pb.DiffRequest(to_version=7), "NOT_FOUND", "no version 7: `guideway history`"),
        (pb.ConfirmRequest(), "FAILED_PRECONDITION", "no version waits to be confirmed"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:20],
)
def test_what_is_wrong_is_refused_in_a_sentence(
    api: Api, request_, code: str, sentence: str
) -> None:
    methods = {"GetVersionRequest": "GetVersion", "ListVersionsRequest": "ListVersions"}
    name = type(request_).__name__
    method = getattr(api.configuration, methods.get(name, name.removesuffix("Request")))

    if not code:
        method(request_)
        return
    with pytest.raises(grpc.RpcError) as refused:
        method(request_)

    assert refused.value.code().name == code
    assert refused.value.details().startswith(sentence)
    assert api.exported() == (0, EMPTY)


def test_a_full_disk_refuses_a_change_and_the_rest_goes_on(
    api: Api, tmp_path: Path
) -> None:
    api.apply(web(1))
    with full_disk(tmp_path):
        with pytest.raises(grpc.RpcError, match="the change was not stored"):
            api.apply(web(2))
        assert api.exported() == (1, web(1))
    assert api.apply(web(2)).version == 2


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), desired_states()),
        st.tuples(st.just("dry run"), desired_states()),
        st.tuples(st.just("rollback"), st.integers(0, 6)),
        st.tuples(st.just("stale"), st.integers(0, 6)),
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(OPERATIONS)
def test_store_and_answers_agree_whatever_is_asked(operations) -> None:
    history = [EMPTY]  # by version
    with TemporaryDirectory() as directory, configuration_api(Path(directory)) as api:
        for operation, what in operations:
            wanted = _ask(api, operation, what, history)
            if wanted not in (None, history[-1]):
                history.append(wanted)

            assert api.exported() == (len(history) - 1, history[-1])
            assert api.node.store.state == history[-1]

        listed = api.configuration.ListVersions(pb.ListVersionsRequest()).versions
        assert [v.version for v in listed] == list(range(len(history) - 1, 0, -1))
        for number, state in enumerate(history):
            if number:
                shown = api.configuration.GetVersion(pb.GetVersionRequest(version=number))
                assert state_from_pb(shown.state) == state
            answer = api.configuration.Diff(pb.DiffRequest(to_version=number))
            assert (answer.difference == difference_pb2.Difference()) == (
                state == history[-1]
            )


def _ask(api: Api, operation: str, what, history: list[DesiredState]):
    """Make a request; return the state that should follow, None if none."""
    now = len(history) - 1
    match operation:
        case "apply":
            api.apply(what, expected_version=now)
            return what
        case "dry run":
            api.apply(what, dry_run=True)
        case "rollback" if what <= now:
            api.configuration.Rollback(pb.RollbackRequest(version=what))
            return history[what]
        case "stale" if what != now:
            with pytest.raises(grpc.RpcError):
                api.apply(web(77), expected_version=what)
    return None
