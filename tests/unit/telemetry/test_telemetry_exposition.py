from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from trimtab.telemetry.exposition import Family, render

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(TEXT, TEXT, st.floats(allow_nan=False) | st.integers(0, 2**53)), max_size=5))
def test_whatever_stands_in_a_label_is_read_back_by_prometheus_own_parser(
    series: list[tuple[str, str, float]],
) -> None:
    family = Family("trimtab_things", "gauge", 'Things\nwith a \\ and "quotes".')
    for one, other, value in series:
        family.add(value, one=one, other=other)
    read = list(text_string_to_metric_families(render([family]).decode()))
    found = [(sample.labels, sample.value) for parsed in read for sample in parsed.samples]
    assert found == [({"one": one, "other": other}, value) for one, other, value in series]
    assert all(parsed.documentation == family.help and parsed.type == "gauge" for parsed in read)


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4), st.floats(0, 1e9))
def test_buckets_are_told_cumulatively(counts: list[int], total: float) -> None:
    family = Family("trimtab_seconds", "histogram", "Seconds.")
    family.add_histogram((0.1, 1.0, 10.0), counts, total, feature="f")
    (read,) = text_string_to_metric_families(render([family]).decode())
    buckets = [(float(one.labels["le"]), one.value) for one in read.samples if one.name.endswith("_bucket")]
    assert buckets == list(zip((0.1, 1.0, 10.0, math.inf), [sum(counts[: end + 1]) for end in range(4)], strict=True))
    rest = {one.name: one.value for one in read.samples if not one.name.endswith("_bucket")}
    assert rest == {"trimtab_seconds_sum": total, "trimtab_seconds_count": sum(counts)}


def test_a_family_without_series_is_not_told() -> None:
    assert render([Family("trimtab_nothing_total", "counter", "Nothing.")]) == b""
