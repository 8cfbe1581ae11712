"""The stock OpenFeature SDK over a real data directory. `store` and `tt` are in conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus
from openfeature.track import TrackingEventDetails

from trimtab.events import Exposure, Feedback
from trimtab.sdk.openfeature import TrimtabProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openfeature.client import OpenFeatureClient

    from trimtab.sdk.client import Trimtab


@pytest.fixture
def flags(store: Any, tt: Trimtab) -> Iterator[OpenFeatureClient]:
    parameters = {"temperature": 1, "max_tokens": 50, "parallel_tool_calls": False}
    store.publish(store.release(1, model="gpt-a", parameters=parameters), store.release(2, model="gpt-b"), weight=0.5)
    store.wait_until_serving(tt)
    api.set_provider_and_wait(TrimtabProvider(tt))
    yield api.get_client()
    api.clear_providers()


def user(store: Any, low: float, high: float) -> EvaluationContext:
    return EvaluationContext(targeting_key=store.unit_in(low, high))


def test_the_string_flag_is_the_label_and_says_arm_and_rollout(flags: OpenFeatureClient, store: Any) -> None:
    details = flags.get_string_details("support-reply", "none", user(store, 0, 0.5))
    assert (details.value, details.variant, details.reason) == ("support-reply#2", "candidate", Reason.SPLIT)
    assert (details.flag_metadata["rollout"], details.flag_metadata["stage"]) == ("rol_1", 1)
    assert details.flag_metadata["release"] == "support-reply#2"


def test_the_object_flag_is_the_release(flags: OpenFeatureClient, store: Any) -> None:
    value: Any = flags.get_object_value("support-reply", {}, user(store, 0.5, 1))
    assert (value["release"], value["model"], value["parameters"]["max_tokens"]) == ("support-reply#1", "gpt-a", 50)
    assert value["messages"] == [{"role": "system", "content": "You answer customers of {{ shop }}."}]


def test_entries_of_the_release_are_flags_of_their_type(flags: OpenFeatureClient, store: Any) -> None:
    someone = user(store, 0.5, 1)
    assert flags.get_string_value("support-reply.model", "none", someone) == "gpt-a"
    assert flags.get_float_value("support-reply.parameters.temperature", 0.0, someone) == 1.0
    assert flags.get_integer_value("support-reply.number", 0, someone) == 1
    parallel = flags.get_boolean_value("support-reply.parameters.parallel_tool_calls", True, someone)  # noqa: FBT003
    assert parallel is False


def test_without_a_targeting_key_a_rollout_does_not_reach_the_caller(flags: OpenFeatureClient) -> None:
    details = flags.get_string_details("support-reply", "none")
    assert (details.value, details.variant, details.reason) == ("support-reply#1", "stable", Reason.DEFAULT)


def test_without_a_rollout_the_reason_is_static(flags: OpenFeatureClient, store: Any, tt: Trimtab) -> None:
    store.publish(store.release(1, model="gpt-a"))
    store.wait_until_serving(tt)
    details = flags.get_string_details("support-reply", "none", EvaluationContext(targeting_key="u1"))
    assert (details.value, details.reason) == ("support-reply#1", Reason.STATIC)


def test_a_snapshot_that_cannot_be_read_leaves_the_last_good_one_in_force_and_stale(
    flags: OpenFeatureClient, store: Any, tt: Trimtab
) -> None:
    store.directory.snapshot("production").write_bytes(b"{ torn")
    store.wait_for_problem(tt)
    details = flags.get_string_details("support-reply", "none", user(store, 0, 0.5))
    assert (details.value, details.reason) == ("support-reply#2", Reason.STALE)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("no-such-feature", ErrorCode.FLAG_NOT_FOUND),
        ("support-reply.no-such-field", ErrorCode.FLAG_NOT_FOUND),
        ("support-reply.number", ErrorCode.TYPE_MISMATCH),
    ],
)
def test_what_is_not_there_yields_the_default_and_a_code(key: str, code: ErrorCode, flags: OpenFeatureClient) -> None:
    details = flags.get_string_details(key, "none")
    assert (details.value, details.reason, details.error_code) == ("none", Reason.ERROR, code)


def test_before_anything_is_published_the_provider_is_not_ready_and_recovers_by_itself(store: Any, tt: Trimtab) -> None:
    with pytest.raises(ProviderNotReadyError):
        api.set_provider_and_wait(TrimtabProvider(tt))
    client = api.get_client()
    assert client.get_provider_status() == ProviderStatus.ERROR
    details = client.get_string_details("support-reply", "none")
    assert (details.value, details.error_code) == ("none", ErrorCode.PROVIDER_NOT_READY)
    store.publish(store.release(1, model="gpt-a"))
    store.wait_until_serving(tt)
    assert client.get_string_value("support-reply", "none") == "support-reply#1"
    api.clear_providers()


def test_evaluating_is_an_exposure_and_tracking_is_feedback(flags: OpenFeatureClient, store: Any, tt: Trimtab) -> None:
    someone = user(store, 0, 0.5)
    flags.get_string_value("support-reply", "none", someone)
    generation = tt.record(tt.resolve("support-reply", unit=str(someone.targeting_key)))
    details = TrackingEventDetails(value=1.0, attributes={"generation": generation})
    flags.track("thumb", someone, details)
    flags.track("checkout", someone)
    tt.flush()
    exposures = [event for event in store.events() if isinstance(event, Exposure)]
    assert [(event.unit, event.arm) for event in exposures] == [(someone.targeting_key, "candidate")]
    (feedback,) = [event for event in store.events() if isinstance(event, Feedback)]
    assert (feedback.generation, feedback.name, feedback.value) == (generation, "thumb", 1.0)


def test_the_session_is_randomised_without_a_targeting_key_where_the_plan_says_so(
    flags: OpenFeatureClient, store: Any, tt: Trimtab
) -> None:
    context = EvaluationContext(attributes={"session": "s-1"})
    strict = flags.get_string_details("support-reply", "none", context)
    assert (strict.variant, strict.reason) == ("stable", Reason.DEFAULT)
    store.publish(store.release(1, model="gpt-a"), store.release(2, model="gpt-b"), weight=1.0, fallback="session")
    store.wait_until_serving(tt)
    details = flags.get_string_details("support-reply", "none", context)
    assert (details.variant, details.reason) == ("candidate", Reason.SPLIT)
