from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trimtab.releases.audit import GENESIS, chain_fault, next_entry

if TYPE_CHECKING:
    from trimtab.releases.model import AuditEntry

DETAILS = st.dictionaries(
    st.text("abc", min_size=1), st.integers(-(2**50), 2**50) | st.text(max_size=8) | st.none(), max_size=3
)


def chain(details: list[dict[str, Any]]) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for at_ms, detail in enumerate(details):
        previous = entries[-1] if entries else None
        entries.append(next_entry(previous, at_ms=at_ms, actor="ada", action="plan.update", subject="s", detail=detail))
    return entries


CHAINS = st.lists(DETAILS, min_size=1, max_size=8).map(chain)


@given(CHAINS)
def test_an_untouched_log_is_whole(entries: list[AuditEntry]) -> None:
    assert chain_fault(entries) == ""
    assert entries[0].previous == GENESIS
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))


@given(CHAINS, st.data())
def test_a_changed_field_is_found_at_its_entry(entries: list[AuditEntry], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    field, value = data.draw(
        st.sampled_from([("actor", "eve"), ("subject", "t"), ("at_ms", 99), ("detail", {"x": 1.5}), ("digest", "d")])
    )
    entries[index] = msgspec.structs.replace(entries[index], **{field: value})
    assert chain_fault(entries).startswith(f"entry {index + 1} was changed")


@given(CHAINS, st.data())
def test_a_changed_entry_with_a_digest_made_to_fit_is_found_at_the_next_one(
    entries: list[AuditEntry], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    before = entries[index - 1] if index else None
    last = index == len(entries) - 1
    entries[index] = next_entry(before, at_ms=7, actor="eve", action="key.create", subject="s", detail={})
    fault = chain_fault(entries)
    assert fault == "" if last else fault.startswith(f"entry {index + 2} does not follow")


@given(CHAINS, st.data())
def test_a_removed_entry_is_found_unless_it_was_the_last(entries: list[AuditEntry], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    last = index == len(entries) - 1
    del entries[index]
    fault = chain_fault(entries)
    assert fault == "" if last else fault.startswith(f"entry {index + 1} is missing")


@given(CHAINS, st.data())
def test_a_repeated_entry_is_found(entries: list[AuditEntry], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    entries.insert(index, entries[index])
    assert f"entry {index + 2}" in chain_fault(entries)
