"""The examples of the documentation, run as they stand, one page after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[3] / "docs"
FENCE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def as_documented(store: Any, upstream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with `.trimtab` in it, and providers at their usual place."""
    parameters = {"max_tokens": 400}
    support = store.release(1, model="gpt-4o-mini-2024-07-18", parameters=parameters)
    summary = store.release(
        1, feature="order-summary", model="claude-a", provider="anthropic", variables={}, messages=[]
    )
    store.root = store.root.parent / ".trimtab"
    store.publish_all([support, summary])
    monkeypatch.chdir(store.root.parent)
    (store.root.parent / "trimtab.toml").write_text(f'[providers.openai]\nbase_url = "{upstream.url}/v1"\n')
    monkeypatch.setenv("OPENAI_BASE_URL", f"{upstream.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", upstream.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")


@pytest.mark.parametrize("page", ["how-to/use-the-sdk.md", "how-to/openfeature.md"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # examples do not close the provider's client
def test_the_examples_of_a_page_work(page: str, as_documented: None) -> None:
    examples = FENCE.findall((DOCS / page).read_text())
    assert len(examples) >= 4
    namespace: dict[str, Any] = {}
    for number, example in enumerate(examples, 1):
        exec(compile(example, f"{page}, example {number}", "exec"), namespace)


def test_the_reference_names_every_public_method_and_attribute() -> None:
    from trimtab.sdk.client import Trimtab
    from trimtab.sdk.resolved import Rendered, Resolved
    from trimtab.sdk.stamp import Served

    text = (DOCS / "reference" / "sdk.md").read_text()
    public = [name for kind in (Trimtab, Resolved, Rendered) for name in vars(kind) if not name.startswith("_")]
    missing = {name for name in [*public, *Served.__struct_fields__] if f"`{name}" not in text} - {
        "decision",
        "started_ns",
    }
    assert missing == set()
