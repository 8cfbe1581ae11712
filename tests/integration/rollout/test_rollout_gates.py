"""Gates that answer as other people's servers do, asked over HTTP. `office` and `target` are in conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trimtab.rollout.spec import BakeStep, GateStep, RolloutPlan, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.rollout.conftest import Office, Target

    MakeOffice = Callable[[RolloutPlan], Office]

Answer = tuple[int, bytes, dict[str, str]]
YES: Answer = (200, b'{"approved": true, "reason": "CHG-7"}', {})
NO: Answer = (200, b'{"approved": false, "reason": "freeze until Monday"}', {})
NOT_YET: Answer = (200, b'{"approved": null, "reason": "waiting for Bob"}', {})
LOGIN: Answer = (200, b"<!doctype html><title>Sign in</title>", {"content-type": "text/html"})


def gated(on_failure: Any = "pause", **fields: Any) -> RolloutPlan:
    gate = GateStep(url_env="GATE", timeout="60s", interval="10s", on_failure=on_failure, **fields)
    return RolloutPlan(steps=[Step(gate=gate), Step(set_weight=10.0), Step(bake=BakeStep(duration="1h"))])


def where(made: Office) -> tuple[str, int, str]:
    rollout = made.rollout()
    return rollout.state, rollout.stage, rollout.pause_reason


def test_a_gate_is_asked_where_the_rollout_stands_until_it_approves(
    office: MakeOffice, target: Callable[..., Target]
) -> None:
    gate = target(NOT_YET, NOT_YET, YES)
    made = office(gated())
    made.variables["GATE"] = f"{gate.url}/approvals"
    assert made.turn() == [f"gate GATE of {made.id}: waiting for Bob"]
    assert where(made) == ("progressing", 0, "")
    assert made.turn(9) == []
    assert len(gate.received) == 1
    assert made.turn(1) == []  # the same answer is not told again
    made.turn(10)
    assert where(made) == ("baking", 2, "")
    question = gate.received[0].json
    assert question == {
        "rollout": made.id,
        "feature": "support-reply",
        "environment": "production",
        "step": 1,
        "enteredAt": question["enteredAt"],
        "stable": {"release": "support-reply#41", "digest": question["stable"]["digest"]},
        "candidate": {"release": "support-reply#42", "digest": question["candidate"]["digest"]},
        "verdict": None,
    }
    assert {one.path for one in gate.received} == {"/approvals"}
    assert len({one.headers["webhook-id"] for one in gate.received}) == 1
    with made.store.read() as tx:
        reasons = [transition.reason for transition in tx.transitions(made.id)]
    assert any("the gate approved: CHG-7" in reason for reason in reasons)
    made.turn(10)
    assert len(gate.received) == 3


@pytest.mark.parametrize(("on_failure", "state"), [("pause", "paused"), ("rollback", "rolled_back")])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (NO, "the gate refused: freeze until Monday"),
        (LOGIN, "no approval within `gate GATE, at most 60s`; its last answer: answered 200 without a JSON object"),
        ((503, b"down", {}), "its last answer: answered 503: down"),
        ((302, b"", {"location": "/login"}), "its last answer: answered 302, which leads elsewhere"),
        ("hang", "its last answer: no complete answer within 0.5 s"),
    ],
    ids=["no", "login page", "503", "redirect", "hang"],
)
def test_what_is_no_approval_leads_to_what_the_plan_says(
    office: MakeOffice, target: Callable[..., Target], answer: Any, said: str, on_failure: str, state: str
) -> None:
    made = office(gated(on_failure))
    made.variables["GATE"] = target(answer).url
    made.turn()
    if answer is not NO:
        made.turn(59)
        assert where(made) == ("progressing", 0, "")
        made.turn(1)
    assert made.rollout().state == state
    assert said in made.rollout().reason


def test_a_gate_nobody_told_the_server_of_is_a_failed_gate(office: MakeOffice) -> None:
    made = office(gated())
    assert made.turn() == [f"gate GATE of {made.id}: the environment variable GATE is not set where the server runs"]
    made.turn(60)
    assert where(made) == ("paused", 0, "inconclusive")
    assert "GATE is not set where the server runs" in made.rollout().reason


def test_a_paused_gate_is_left_alone_and_a_resumed_one_is_asked_anew(
    office: MakeOffice, target: Callable[..., Target]
) -> None:
    gate = target(NO, YES)
    made = office(gated())
    made.variables["GATE"] = gate.url
    made.turn()
    assert where(made) == ("paused", 0, "inconclusive")
    made.turn(30)
    assert len(gate.received) == 1
    made.command("resume")
    made.turn()
    assert where(made) == ("baking", 2, "")
    assert len({one.headers["webhook-id"] for one in gate.received}) == 2


def test_an_answer_that_comes_after_the_rollout_went_on_decides_nothing(
    office: MakeOffice, target: Callable[..., Target]
) -> None:
    gate = target(NO, YES)
    made = office(gated())
    made.variables["GATE"] = gate.url

    def meanwhile() -> None:
        made.command("pause")
        made.clock.advance(1)
        made.command("resume")

    gate.meanwhile = meanwhile
    made.turn()
    with made.store.read() as tx:
        assert tx.gate_answer(made.id) is None
    assert where(made) == ("progressing", 0, "")
    made.turn()
    assert where(made) == ("baking", 2, "")


def test_questions_are_signed_where_the_plan_says_so(office: MakeOffice, target: Callable[..., Target]) -> None:
    gate = target(YES)
    made = office(gated(secret_env="KEY"))
    made.variables.update({"GATE": gate.url, "KEY": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
    made.turn()
    assert gate.received[0].headers["webhook-signature"].startswith("v1,")


def test_a_gate_that_repeats_its_address_does_not_get_it_into_the_history(
    office: MakeOffice, target: Callable[..., Target]
) -> None:
    made = office(gated())
    refusal = b'{"approved": false, "reason": "POST /approve/s3cr3t-t0ken is closed"}'
    made.variables["GATE"] = target((200, refusal, {})).url + "/approve/s3cr3t-t0ken"
    made.turn()
    assert made.rollout().reason == "the gate refused: POST /***/*** is closed"
