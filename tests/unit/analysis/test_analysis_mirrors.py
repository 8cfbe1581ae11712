from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab.analysis.mirrors import MirrorTally, mirrors_stopped, mirrors_words
from trimtab.events import Generation


def shadow(status: str, code: str = "", cost_usd: float = 0.0) -> Generation:
    return Generation(
        id="g",
        at_ms=0,
        feature="f",
        environment="e",
        release="r",
        arm="shadow",
        status=status,  # type: ignore[arg-type]
        error_code=code,
        cost_usd=cost_usd,
    )


def tally(*outcomes: tuple[str, str]) -> MirrorTally:
    counted = MirrorTally()
    for status, code in outcomes:
        counted.count(shadow(status, code, cost_usd=0.25))
    return counted


@given(st.lists(st.tuples(st.sampled_from(["ok", "error", "aborted"]), st.text(max_size=3)), max_size=80))
def test_every_mirror_is_counted_once_however_many_reasons_there_are(outcomes: list[tuple[str, str]]) -> None:
    counted = tally(*outcomes)
    assert counted.total == len(outcomes)
    assert counted.answered == sum(status == "ok" for status, _ in outcomes)
    assert sum(counted.failed.values()) == sum(status == "error" for status, _ in outcomes)
    assert max(len(counted.failed), len(counted.missed)) <= 21
    assert counted.cost_usd == 0.25 * len(outcomes)
    assert MirrorTally.of([counted, counted]).total == 2 * len(outcomes)


def test_words_name_the_reasons_most_frequent_first_and_say_nothing_where_all_were_answered() -> None:
    lost = [("error", "upstream_timeout")] * 3 + [("error", "x")] + [("aborted", "mirror_overloaded")] * 2
    assert mirrors_words(tally(*[("ok", "")] * 4, *lost)) == (
        "Of 10 requests to be mirrored, 4 were answered: 4 failed (upstream_timeout 3, x 1), "
        "2 were not sent (mirror_overloaded 2)."
    )
    assert mirrors_words(tally(("ok", ""))) == ""
    assert mirrors_words(MirrorTally()) == ""


def test_a_few_lost_ones_are_not_notable_a_tenth_is() -> None:
    few = tally(*[("ok", "")] * 95, *[("error", "x")] * 5)
    many = tally(*[("ok", "")] * 45, *[("error", "x")] * 5)
    assert mirrors_words(few, notable=True) == ""
    assert mirrors_words(few) != ""
    assert "5 failed (x 5)" in mirrors_words(many, notable=True)


def test_only_money_stops_mirrors_for_good() -> None:
    assert mirrors_stopped(tally(("aborted", "mirror_budget_spent")))
    assert mirrors_stopped(tally(("aborted", "mirror_quota_spent")))
    assert not mirrors_stopped(tally(("aborted", "mirror_overloaded"), ("error", "mirror_budget_spent")))
