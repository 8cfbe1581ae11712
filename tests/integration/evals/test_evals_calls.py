"""Releases called over HTTP for evals: either wire, failures as answers, never more than the bound."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from trimtab.artifacts.model import AdapterContent, ModelContent, PromptContent, PromptMessage
from trimtab.core.errors import UpstreamError
from trimtab.evals.answers import Answer, Ask
from trimtab.evaluation.models import CalledModels, with_model
from trimtab.providers.endpoint import Endpoint
from trimtab.releases.model import CompiledRelease, Fallback, wire_of
from trimtab.serving.snapshot import Price

if TYPE_CHECKING:
    from collections.abc import Iterator

SIM = """\
rules:
  - {when: {model: "bad*"}, errorRate: 1, errorStatus: 400, latency: {medianMs: 0, p95Ms: 0}}
  - {when: {model: "fenced*"}, answer: '{"a": 1}', fenceRate: 1, latency: {medianMs: 0, p95Ms: 0}}
  - {when: {model: "slow*"}, latency: {medianMs: 5000, p95Ms: 5000}}
  - {latency: {medianMs: 0, p95Ms: 0}}
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    behaviour = tmp_path_factory.mktemp("sim") / "sim.yaml"
    behaviour.write_text(SIM)
    command = [sys.executable, "-m", "trimtab", "sim", "--port", "0", "--behaviour", str(behaviour)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as upstream:
        assert upstream.stderr is not None
        yield upstream.stderr.readline().split()[-1]
        upstream.terminate()


def release(model: str, provider: str = "openai", **more: object) -> CompiledRelease:
    content = ModelContent(provider=provider, model=model, parameters={"max_tokens": 100})
    prompt = PromptContent(messages=[PromptMessage(role="system", content="Help {{ who }}.")], variables={})
    return msgspec.structs.replace(
        CompiledRelease(digest=f"sha256:{model}", feature="f", number=1, prompt=prompt, model=content),
        wire=wire_of(content), **more,
    )  # fmt: skip


def asked(url: str, tried: CompiledRelease, *, who: str = "Ada") -> Answer:
    async def ask() -> Answer:
        endpoints = {name: Endpoint(name=name, base_url=url) for name in ("openai", "anthropic")}
        async with CalledModels(endpoints, prices=lambda _: Price(input_usd=1.0, output_usd=2.0)) as models:
            subject = models.subject(tried)
            question = Ask("k", 0, {"who": who} if who else {}, [{"role": "user", "content": "Where is A-1001?"}])
            bound = subject.bound_usd(question)
            answer = await subject.answer(question)
            assert bound is not None
            assert answer.cost_usd <= bound
            return answer

    return asyncio.run(ask())


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_either_wire_answers(url: str, provider: str) -> None:
    answer = asked(url, release("model-1", provider))
    assert "A-1001" in answer.output
    assert (answer.error_code, answer.served_model, answer.attempts) == ("", "model-1", 1)
    assert answer.input_tokens > 0
    assert answer.cost_usd > 0
    assert answer.latency_ms > 0


def test_the_releases_adapter_is_part_of_it(url: str) -> None:
    assert asked(url, release("fenced-1")).output.startswith("```")
    mended = release("fenced-1", adapter=AdapterContent(output=["strip_code_fence"]))
    assert asked(url, mended).output == '{"a": 1}'


def test_failures_are_answers_with_a_reason(url: str) -> None:
    answer = asked(url, release("bad-1"))
    assert answer.error_code
    assert "simulated failure" in answer.error
    unasked = asked(url, release("model-1"), who="")
    assert (unasked.error_code, unasked.cost_usd) == ("missing_variable", 0.0)
    away = asked(url, release("model-1", "nowhere"))
    assert away.error_code == "unknown_provider"


def test_a_fallback_never_answers_for_the_model(url: str) -> None:
    other = ModelContent(provider="openai", model="model-2")
    tried = release("bad-1", fallbacks=[Fallback(model=other, wire=wire_of(other))])
    assert asked(url, tried).error_code


def test_another_model_is_another_release() -> None:
    one = release("model-1")
    other = with_model(one, "anthropic/claude-x")
    assert (other.model.provider, other.model.model, other.wire) == ("anthropic", "claude-x", "anthropic-messages/1")
    assert other.model.parameters == one.model.parameters
    assert len({one.digest, other.digest, with_model(one, "openai/model-2").digest}) == 3


def test_embeddings_come_in_the_order_of_the_texts(url: str) -> None:
    async def embed() -> tuple[list[list[float]], list[list[float]]]:
        async with CalledModels({"openai": Endpoint(name="openai", base_url=url)}, prices=lambda _: None) as models:
            with pytest.raises(UpstreamError):
                await models.embed("nowhere/e", ["a"])
            return await models.embed("openai/e", ["a", "b"]), await models.embed("openai/e", ["b"])

    both, one = asyncio.run(embed())
    assert len(both) == 2
    assert both[1] == one[0] != both[0]


def test_a_call_that_is_given_up_leaves_nothing_behind(url: str) -> None:
    async def give_up() -> None:
        async with CalledModels({"openai": Endpoint(name="openai", base_url=url)}, prices=lambda _: None) as models:
            task = asyncio.create_task(models.subject(release("slow-1")).answer(Ask("k", 0, {"who": "x"}, [])))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(give_up())
