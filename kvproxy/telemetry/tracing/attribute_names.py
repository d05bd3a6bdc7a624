"""Names of spans' attributes: those of OpenTelemetry's semantic conventions, and kvproxy's own.

The conventions of generative AI are under development, and their Python package repeats them as private names: so
they are written down here, and a test compares them with the package.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.util.types import AttributeValue

Attributes = dict[str, AttributeValue]
"""A span's attributes: texts, numbers, truth values, and lists of one of them."""

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
TEMPERATURE: Final = "gen_ai.request.temperature"
TOP_P: Final = "gen_ai.request.top_p"
TOP_K: Final = "gen_ai.request.top_k"
SEED: Final = "gen_ai.request.seed"
CHOICES: Final = "gen_ai.request.choice.count"
FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
OUTPUT_TYPE: Final = "gen_ai.output.type"
DIMENSIONS: Final = "gen_ai.embeddings.dimension.count"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
"""Cached ones included."""
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_CREATION: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"

METHOD: Final = "http.request.method"
ROUTE: Final = "http.route"
STATUS: Final = "http.response.status_code"
SCHEME: Final = "url.scheme"
PATH: Final = "url.path"
FULL_URL: Final = "url.full"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
PROTOCOL_VERSION: Final = "network.protocol.version"
ERROR_TYPE: Final = "error.type"

REQUEST_ID: Final = "kvproxy.request.id"
CLIENT: Final = "kvproxy.client"
"""The first product of its User-Agent."""
CACHE_OUTCOME: Final = "kvproxy.cache.outcome"
"""hit, miss, bypass, refused or left."""
CACHE_REASON: Final = "kvproxy.cache.reason"
CACHE_CAUSE: Final = "kvproxy.cache.cause"
CACHE_COLLAPSED: Final = "kvproxy.cache.collapsed"
REPLICA: Final = "kvproxy.replica"
TOKENS: Final = "kvproxy.tokens"
"""Of a phase: loaded from pages, computed, or generated."""
FRAMING: Final = "kvproxy.framing"
"""Of work on a document: the prefix that it was about."""
DOCUMENT: Final = "kvproxy.document"
"""Only where the operator's setting allows it."""

CONVENTIONS: Final = (
    *(
        OPERATION,
        PROVIDER,
        REQUEST_MODEL,
        REQUEST_STREAM,
        MAX_TOKENS,
        TEMPERATURE,
        TOP_P,
        TOP_K,
        SEED,
        CHOICES,
    ),
    *(
        FREQUENCY_PENALTY,
        PRESENCE_PENALTY,
        OUTPUT_TYPE,
        DIMENSIONS,
        RESPONSE_MODEL,
        RESPONSE_ID,
        FINISH_REASONS,
    ),
    *(FIRST_CHUNK, INPUT_TOKENS, OUTPUT_TOKENS, CACHE_READ, CACHE_CREATION, REASONING_TOKENS),
    *(
        METHOD,
        ROUTE,
        STATUS,
        SCHEME,
        PATH,
        FULL_URL,
        SERVER_ADDRESS,
        SERVER_PORT,
        PROTOCOL_VERSION,
        ERROR_TYPE,
    ),
)
"""All names that are the conventions' own."""

PROVIDERS: Final = {
    **{name: name for name in ("openai", "anthropic", "cohere", "perplexity", "deepseek", "groq")},
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""litellm's names of providers, and the conventions'. Any other keeps litellm's."""

HERE: Final = "kvproxy"
"""The provider of models whose KV is managed here: the conventions allow a name of one's own."""


def provider_of(model: str) -> str:
    """Return the conventions' name of the provider in litellm's ``provider/model``.

    Example: ``provider_of("mistral/mistral-small") == "mistral_ai"``
    """
    provider, slash, _ = model.partition("/")
    return PROVIDERS.get(provider, provider) if slash else PROVIDERS["openai"]
