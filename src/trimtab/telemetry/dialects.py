"""Names under which others tell of model calls: what each fact is called, the most exact name first.

Beside the conventions that Trimtab itself speaks (`conventions`): their older versions and what OpenLLMetry made of
them, OpenInference 0.1 (Arize, LlamaIndex, ...), and the names of Langfuse's SDKs (version 3 and later).
"""

from __future__ import annotations

from trimtab.telemetry.conventions import DEPLOYMENT, ERROR_TYPE, HTTP_STATUS, GenAi, Own

__all__ = [
    "CALLS",
    "COST",
    "ENVIRONMENT",
    "FINISH_REASONS",
    "INPUTS",
    "INPUT_TOKENS",
    "KIND",
    "OUTPUTS",
    "OUTPUT_TOKENS",
    "PROVIDER",
    "REQUEST_MODEL",
    "RESPONSE_MODEL",
    "STREAM",
    "UNIT",
]

CALLS = {
    "chat": "chat",
    "text_completion": "chat",
    "generate_content": "chat",
    "embeddings": "embeddings",
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "generation": "chat",
    "embedding": "embeddings",
    "completion": "chat",
}
"""What the kind of a span is called -> format of the call. Spans of other kinds are no model calls."""

KIND = ("langfuse.observation.type", "openinference.span.kind", GenAi.OPERATION, "llm.request.type")
"""Where a span says its kind. The first that it has decides: an agent's span may carry a model's name, too."""

PROVIDER = (GenAi.PROVIDER, "gen_ai.system", "llm.provider", "llm.system")
REQUEST_MODEL = (
    GenAi.REQUEST_MODEL,
    "llm.request.model_name",
    "langfuse.observation.model.name",
    "llm.model_name",
    "embedding.model_name",
    "llm.request.model",
)
RESPONSE_MODEL = (GenAi.RESPONSE_MODEL, "llm.response.model_name", "llm.response.model")
STREAM = (GenAi.STREAM, "llm.is_streaming")
PARAMETERS = ("llm.invocation_parameters", "langfuse.observation.model.parameters")
"""JSON of what the model was asked with; `stream` among it."""
INPUT_TOKENS = (GenAi.INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens")
OUTPUT_TOKENS = (
    GenAi.OUTPUT_TOKENS,
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "llm.usage.completion_tokens",
)
COST = (Own.COST, "gen_ai.usage.cost", "llm.cost.total")
FINISH_REASONS = (GenAi.FINISH_REASONS, "llm.finish_reason", "gen_ai.completion.0.finish_reason")
UNIT = (Own.UNIT, "user.id", "langfuse.user.id", "enduser.id")
ENVIRONMENT = (Own.ENVIRONMENT, DEPLOYMENT, "deployment.environment", "langfuse.environment")
ERROR = (ERROR_TYPE, "exception.type")
STATUS = (HTTP_STATUS, "http.status_code")

INPUTS = (GenAi.INPUT_MESSAGES, "langfuse.observation.input", "gen_ai.prompt", "input.value")
"""Whole prompts: JSON, or text. Indexed ones (`llm.input_messages.0...`, `gen_ai.prompt.0...`) are looked for first."""
OUTPUTS = (GenAi.OUTPUT_MESSAGES, "langfuse.observation.output", "gen_ai.completion", "output.value")
INDEXED_INPUTS = ("llm.input_messages", "gen_ai.prompt")
INDEXED_OUTPUTS = ("llm.output_messages", "gen_ai.completion")

USAGE = "langfuse.observation.usage_details"
USAGE_INPUT = ("input", "input_tokens", "prompt_tokens", "promptTokens")
USAGE_OUTPUT = ("output", "output_tokens", "completion_tokens", "completionTokens")
COSTS = "langfuse.observation.cost_details"
BEGAN_TO_ANSWER = "langfuse.observation.completion_start_time"
LEVEL = "langfuse.observation.level"
