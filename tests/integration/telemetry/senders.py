"""Langfuse's SDK and OpenInference, as their users write it: `python senders.py NAME SERVER UPSTREAM`."""

from __future__ import annotations

import os
import sys


def langfuse(server: str, _upstream: str) -> None:
    os.environ.update(
        LANGFUSE_HOST=server, LANGFUSE_PUBLIC_KEY="pk-lf-x", LANGFUSE_SECRET_KEY="sk-lf-x", OTEL_SERVICE_NAME="app"
    )
    from langfuse import get_client

    client = get_client()
    question = [{"role": "user", "content": "Where is A-1?"}]
    with (
        client.start_as_current_observation(as_type="span", name="handle"),
        client.start_as_current_observation(
            as_type="generation", name="answer", model="gpt-4o-mini", input=question
        ) as generation,
    ):
        generation.update(output="On its way.", usage_details={"input": 11, "output": 7}, cost_details={"total": 0.25})
    client.flush()


def openinference(server: str, upstream: str) -> None:
    import openai
    from openinference.instrumentation.openai import OpenAIInstrumentor
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider(resource=Resource({"service.name": "app"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{server}/v1/traces")))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    client = openai.OpenAI(base_url=upstream, api_key="none")
    question = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is A-1?"}]
    client.chat.completions.create(model="gpt-4o-mini", messages=question)
    for _ in client.chat.completions.create(
        model="gpt-4o-mini", messages=question, stream=True, stream_options={"include_usage": True}
    ):
        pass


if __name__ == "__main__":
    {"langfuse": langfuse, "openinference": openinference}[sys.argv[1]](*sys.argv[2:])
