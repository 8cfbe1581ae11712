"""The state machine of a migration: whatever is sent to it, it stands in a legal state."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trimtab.core.errors import ConflictError, InputError, NotFoundError
from trimtab.migration.events import (
    Abandoned,
    Acknowledged,
    Approved,
    Audit,
    Event,
    ForkSeed,
    Inventoried,
    Rebased,
    RolledBack,
    RolloutEnded,
    RolloutStarted,
    TakeBack,
    Worked,
)
from trimtab.migration.inventory import ModelName
from trimtab.migration.machine import transition
from trimtab.migration.model import Fork, Migration, MigrationOptions
from trimtab.migration.states import ROLLOUT_STATES, STATES, StateName, before, info, place

WORK: tuple[StateName, ...] = tuple(one.name for one in STATES[1:])
FORKS = ("support", "billing")


def new_plan(**options: Any) -> Migration:
    return Migration(
        id="mig_1",
        environment="production",
        source=ModelName(provider="openai", model="old"),
        target=ModelName(provider="openai", model="new"),
        options=MigrationOptions(**options),
        created_at_ms=0,
        created_by="ana",
        updated_at_ms=0,
    )


def seeds(*names: str) -> Inventoried:
    found = [ForkSeed(name=name, release=f"old-{name}", release_number=1, prompt="p") for name in names]
    return Inventoried(artifact="inv", forks=found)


def send(plan: Migration, *events: Event, at: int = 0) -> Migration:
    for event in events:
        plan, _ = transition(plan, event, now_ms=at)
    return plan


def passing(fork: str, state: StateName, **more: Any) -> Worked:
    if state == "adapt":
        more.setdefault("candidate", "new-1")
    return Worked(fork=fork, state=state, artifact=f"{fork}-{state}", gate="passed", **more)


def walked(plan: Migration, fork: str, to: StateName) -> Migration:
    """Return the plan with a fork led, by the book, to the beginning of a state."""
    for state in before(to):
        if only(plan, fork).standing == "held":
            plan = send(plan, Approved(fork=fork, actor="ana", reason="go"))
        if state == "shadow":
            plan = send(plan, RolloutStarted(fork=fork, rollout=f"ro-{fork}"))
        plan = send(plan, passing(fork, state))
    return plan


def only(plan: Migration, name: str) -> Fork:
    fork = plan.fork(name)
    assert fork is not None
    return fork


def check_legal(plan: Migration) -> None:
    for fork in plan.forks:
        wanted = (*before(fork.state), *((fork.state,) if fork.standing == "done" else ()))
        assert tuple(fork.passed) == wanted, "a state was skipped, or counts that does not"
        for state, passed in fork.passed.items():
            assert passed.artifact
            if passed.override is not None:
                assert info(state).overridable
                assert passed.override.actor
                assert passed.override.reason.strip()
        if place(fork.state) > place("adapt"):
            assert fork.candidate
            assert fork.candidate not in fork.rejected
        if fork.state in ROLLOUT_STATES and fork.state != "shadow":
            assert fork.rollout
        if fork.standing == "blocked":
            assert fork.reasons
    assert (plan.status == "complete") == (bool(plan.forks) and all(one.standing == "done" for one in plan.forks))


def test_by_the_book_a_plan_ends_complete_with_an_artefact_for_every_state() -> None:
    plan = send(new_plan(), seeds(*FORKS))
    for fork in FORKS:
        plan = send(walked(plan, fork, "retire"), passing(fork, "retire"))
    check_legal(plan)
    assert plan.status == "complete"
    assert {state for fork in plan.forks for state in fork.passed} == set(WORK)


def test_no_feature_calls_the_model_so_nothing_begins() -> None:
    plan = send(new_plan(), Inventoried(artifact="inv", forks=[]))
    assert plan.forks == []
    assert "no stable release" in plan.reasons[0]
    assert send(plan, seeds("support")).forks  # taken again when there is one


def test_the_same_event_twice_changes_nothing_the_second_time() -> None:
    plan = walked(send(new_plan(), seeds("support")), "support", "diff")
    for event in (seeds("support"), passing("support", "golden"), passing("support", "lint")):
        assert transition(plan, event, now_ms=9) == (plan, [])


def test_work_out_of_order_is_refused() -> None:
    plan = walked(send(new_plan(), seeds("support")), "support", "diff")
    for event in (
        passing("support", "adapt"),
        passing("support", "retire"),
        Worked(fork="support", state="golden", artifact="another", gate="passed"),
        RolloutStarted(fork="support", rollout="ro"),
        Inventoried(artifact="another", forks=[]),
    ):
        with pytest.raises(ConflictError) as caught:
            transition(plan, event, now_ms=0)
        assert caught.value.code == "out_of_order"


def test_findings_wait_for_a_person_each() -> None:
    plan = walked(send(new_plan(), seeds("support")), "support", "lint")
    plan = send(plan, Worked(fork="support", state="lint", artifact="l", gate="passed", findings=["a", "b"]))
    assert (only(plan, "support").standing, only(plan, "support").open_findings) == ("blocked", ["a", "b"])
    with pytest.raises(ConflictError, match="cannot be passed"):
        send(plan, Approved(fork="support", actor="ana", reason="in a hurry"))
    with pytest.raises(NotFoundError):
        send(plan, Acknowledged(fork="support", findings=["c"], actor="ana", reason="seen"))
    plan = send(plan, Acknowledged(fork="support", findings=["a"], actor="ana", reason="seen"))
    assert only(plan, "support").state == "lint"
    plan, effects = transition(plan, Acknowledged(fork="support", findings=[], actor="ben", reason="fine"), now_ms=5)
    assert only(plan, "support").state == "diff"
    assert only(plan, "support").acknowledged["b"].actor == "ben"
    assert [one.action for one in effects if isinstance(one, Audit)] == [
        "migration.acknowledge",
        "migration.transition",
    ]


@pytest.mark.parametrize("state", [one.name for one in STATES if one.overridable])
def test_a_gate_that_says_no_is_passed_by_a_person_with_a_reason_on_record(state: StateName) -> None:
    plan = walked(send(new_plan(approve_before=[]), seeds("support")), "support", state)
    plan = send(
        plan,
        Worked(fork="support", state=state, artifact="x", gate="blocked", reasons=["bad"], candidate="new-1"),
    )
    for actor, reason in (("", "because"), ("ana", "  ")):
        with pytest.raises(InputError):
            send(plan, Approved(fork="support", actor=actor, reason=reason))
    plan, effects = transition(plan, Approved(fork="support", actor="ana", reason="known"), now_ms=7)
    override = only(plan, "support").passed[state].override
    assert override is not None
    assert (override.actor, override.reason, override.despite, override.at_ms) == ("ana", "known", ["bad"], 7)
    audit = effects[0]
    assert isinstance(audit, Audit)
    assert (audit.action, audit.actor, audit.detail["despite"]) == ("migration.override", "ana", "bad")
    check_legal(plan)


@pytest.mark.parametrize("state", [one.name for one in STATES if not one.overridable and one.name != "inventory"])
def test_other_gates_are_passed_on_nobody_s_word(state: StateName) -> None:
    plan = walked(send(new_plan(approve_before=[]), seeds("support")), "support", state)
    plan = send(plan, Worked(fork="support", state=state, artifact="x", gate="blocked", reasons=["bad"]))
    with pytest.raises(ConflictError) as caught:
        send(plan, Approved(fork="support", actor="ana", reason="known"))
    assert caught.value.code == "cannot_override"


def test_adapting_without_a_candidate_cannot_be_overridden() -> None:
    plan = walked(send(new_plan(), seeds("support")), "support", "adapt")
    plan = send(plan, Worked(fork="support", state="adapt", artifact="x", gate="blocked", reasons=["none"]))
    with pytest.raises(ConflictError, match="no candidate"):
        send(plan, Approved(fork="support", actor="ana", reason="known"))


@pytest.mark.parametrize("state", WORK)
def test_every_state_has_a_way_back(state: StateName) -> None:
    plan = walked(send(new_plan(), seeds("support")), "support", state)
    plan, effects = transition(plan, RolledBack(fork="support", actor="ana", reason="odd"), now_ms=3)
    fork = only(plan, "support")
    check_legal(plan)
    assert fork.state == info(state).back_to
    assert fork.standing == "held"
    took_back = [one for one in effects if isinstance(one, TakeBack)]
    assert bool(took_back) == (state in {"canary", "cutover", "retire"})
    if took_back:
        assert (took_back[0].rollout, took_back[0].release) == ("ro-support", "old-support")
    plan = send(plan, Approved(fork="support", actor="ana", reason="again"))
    assert only(plan, "support").standing == "due"


def test_going_back_while_a_rollout_shadows_takes_it_back() -> None:
    plan = walked(send(new_plan(approve_before=[]), seeds("support")), "support", "shadow")
    plan = send(plan, RolloutStarted(fork="support", rollout="ro-1"))
    plan, effects = transition(plan, RolledBack(fork="support", actor="ana", reason="odd", to="adapt"), now_ms=3)
    assert [one.rollout for one in effects if isinstance(one, TakeBack)] == ["ro-1"]
    assert (only(plan, "support").state, only(plan, "support").candidate) == ("adapt", "")


def test_nobody_goes_back_into_the_middle_of_a_rollout_or_forwards() -> None:
    plan = walked(send(new_plan(), seeds("support")), "support", "cutover")
    nowhere: tuple[StateName, ...] = ("canary", "retire", "inventory")
    for to in nowhere:
        with pytest.raises(ConflictError):
            send(plan, RolledBack(fork="support", actor="ana", reason="odd", to=to))


def test_a_harmful_candidate_goes_back_to_adapting_and_is_not_chosen_again() -> None:
    plan = walked(send(new_plan(), seeds("support")), "support", "canary")
    plan = send(plan, RolloutEnded(fork="support", rollout="ro-support", harmful=True, reason="parse: worse"))
    fork = only(plan, "support")
    assert (fork.state, fork.standing, fork.reasons) == ("adapt", "blocked", ["parse: worse"])
    assert (fork.rejected, fork.candidate, fork.rollout) == (["new-1"], "", "")
    check_legal(plan)


def test_an_attempt_that_was_given_up_waits_for_a_person_to_try_again() -> None:
    plan = walked(send(new_plan(), seeds("support")), "support", "canary")
    plan = send(plan, RolloutEnded(fork="support", rollout="ro-support", harmful=False, reason="aborted by ben"))
    fork = only(plan, "support")
    assert (fork.state, fork.standing, fork.candidate) == ("shadow", "held", "new-1")
    assert transition(
        plan, RolloutEnded(fork="support", rollout="ro-support", harmful=True, reason="late"), now_ms=1
    ) == (plan, [])


def test_a_plan_is_abandoned_only_when_no_user_meets_the_new_model_through_it() -> None:
    plan = walked(send(new_plan(), seeds(*FORKS)), "support", "canary")
    with pytest.raises(ConflictError, match="`support`"):
        send(plan, Abandoned(actor="ana", reason="no budget"))
    plan = send(plan, RolledBack(fork="support", actor="ana", reason="no budget"))
    plan = send(plan, Abandoned(actor="ana", reason="no budget"))
    assert plan.status == "abandoned"
    with pytest.raises(ConflictError, match="abandoned"):
        send(plan, Approved(fork="support", actor="ana", reason="go"))


class AnyOrder(RuleBasedStateMachine):
    """Crashes are repeated events, retries are others in their place, and people do anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = new_plan()
        self.now_ms = 0
        self.last: Event | None = None
        self.took_back: list[TakeBack] = []
        self.audited = 0

    def send(self, event: Event) -> None:
        self.now_ms += 1
        before_it = msgspec.json.encode(self.plan)
        try:
            self.plan, effects = transition(self.plan, event, now_ms=self.now_ms)
        except InputError:
            assert msgspec.json.encode(self.plan) == before_it
            return
        self.last = event
        self.audited += sum(isinstance(one, Audit) for one in effects)
        self.took_back += [one for one in effects if isinstance(one, TakeBack)]
        if isinstance(event, (Inventoried, Rebased, Worked, RolloutStarted, RolloutEnded)):
            assert transition(self.plan, event, now_ms=self.now_ms) == (self.plan, []), "twice is not once"

    @rule()
    def take_inventory(self) -> None:
        self.send(seeds(*FORKS))

    @rule(
        fork=st.sampled_from(FORKS),
        state=st.sampled_from(WORK),
        gate=st.sampled_from(["passed", "passed", "blocked", "waiting"]),
        artifact=st.sampled_from(["x", "y", ""]),
        candidate=st.sampled_from(["new-1", "new-2", ""]),
        findings=st.lists(st.sampled_from(["a", "b"]), unique=True),
    )
    def work(self, fork: str, state: StateName, gate: Any, artifact: str, candidate: str, findings: list[str]) -> None:
        known = self.plan.fork(fork)
        if known is not None and candidate in known.rejected:
            candidate = ""
        self.send(
            Worked(
                fork=fork,
                state=state,
                artifact=artifact,
                gate=gate if state != "adapt" or candidate else "blocked",
                reasons=["because"],
                candidate=candidate,
                findings=findings if state == "lint" else [],
            )
        )

    @precondition(lambda self: bool(self.plan.forks))
    @rule(fork=st.sampled_from(FORKS))
    def go_on_by_the_book(self, fork: str) -> None:
        known = only(self.plan, fork)
        if known.standing == "held":
            self.send(Approved(fork=fork, actor="ana", reason="go"))
        elif known.state == "shadow" and not known.rollout:
            self.send(RolloutStarted(fork=fork, rollout=f"ro-{self.now_ms}"))
        elif known.open_findings:
            self.send(Acknowledged(fork=fork, findings=[], actor="ana", reason="seen"))
        else:
            candidate = f"new-{len(known.rejected) + 10}"
            self.send(passing(fork, known.state, candidate=candidate if known.state == "adapt" else ""))

    @rule()
    def repeat_after_a_crash(self) -> None:
        if self.last is not None:
            self.send(self.last)

    @rule(fork=st.sampled_from(FORKS), number=st.integers(1, 3))
    def another_release_is_shipped(self, fork: str, number: int) -> None:
        self.send(Rebased(fork=fork, release=f"old-{number}", release_number=number, prompt="p"))

    @rule(fork=st.sampled_from(FORKS), harmful=st.booleans(), right=st.booleans())
    def rollout_ends(self, fork: str, harmful: bool, right: bool) -> None:  # noqa: FBT001 - drawn
        known = self.plan.fork(fork)
        rollout = known.rollout if known is not None and right else "ro-other"
        if known is None or rollout:
            self.send(RolloutEnded(fork=fork, rollout=rollout, harmful=harmful, reason="worse"))

    @rule(fork=st.sampled_from(FORKS), finding=st.sampled_from(["a", "b", "c"]), reason=st.sampled_from(["seen", ""]))
    def acknowledge(self, fork: str, finding: str, reason: str) -> None:
        self.send(Acknowledged(fork=fork, findings=[finding], actor="ana", reason=reason))

    @rule(fork=st.sampled_from([*FORKS, "unknown"]), actor=st.sampled_from(["ana", ""]))
    def approve(self, fork: str, actor: str) -> None:
        self.send(Approved(fork=fork, actor=actor, reason="known"))

    @rule(fork=st.sampled_from(FORKS), to=st.sampled_from([None, *WORK]))
    def roll_back(self, fork: str, to: StateName | None) -> None:
        known = self.plan.fork(fork)
        rollout, taken = ("", 0) if known is None else (known.rollout, len(self.took_back))
        self.send(RolledBack(fork=fork, actor="ana", reason="odd", to=to))
        after = self.plan.fork(fork)
        if after is not None and known is not None and rollout and not after.rollout:
            assert len(self.took_back) == taken + 1, "users were left with the new model"

    @rule(sure=st.integers(0, 9))
    def abandon(self, sure: int) -> None:
        if sure == 0:
            self.send(Abandoned(actor="ana", reason="no budget"))

    @invariant()
    def stands_in_a_legal_state(self) -> None:
        check_legal(self.plan)

    @invariant()
    def every_step_of_its_history_is_in_the_audit_log(self) -> None:
        assert self.audited >= len(self.plan.history)

    @invariant()
    def survives_being_stored(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(self.plan), type=Migration) == self.plan


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
