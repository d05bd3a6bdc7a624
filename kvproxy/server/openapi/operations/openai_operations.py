"""The operations of OpenAI's API: chat completions, completions, embeddings and models."""

from __future__ import annotations

from kvproxy.errors import InvalidRequest, ModelNotFound, TimedOut
from kvproxy.server.openapi.operation import LOCAL_MODEL, DocumentedAnswer, Operation, Parameter
from kvproxy.server.openapi.operations.common_headers import CACHED, SESSION, TIMED
from kvproxy.server.openapi.operations.error_groups import BODY, GENERATION
from kvproxy.server.routes import chat_route, completions_route, embeddings_route, models_route
from kvproxy.wire.chat.chat_body import ChatBody
from kvproxy.wire.chat.chat_types import ChatChunk, ChatCompletion
from kvproxy.wire.completions.completion_types import TextCompletion
from kvproxy.wire.completions.parse_completion import CompletionBody
from kvproxy.wire.service.embeddings_body import Embeddings, EmbeddingsBody
from kvproxy.wire.service.model_list import AnthropicModel, AnthropicModelList, ModelBody, ModelList
from kvproxy.wire.service.service_types import OpenAIError

_TAG = "OpenAI"
_OTHER_NAMES = (
    "A model is found by its name in upper or lower case, with or without a provider before it (`openai/NAME`), and by "
    "the names and patterns of `aliases`. `root`, and `model` in every answer, is the served name."
)
_VERSION = Parameter(
    "anthropic-version",
    "header",
    {"type": "string"},
    "Selects Anthropic's format of the answer.",
    "2023-06-01",
)

OPENAI = (
    Operation(
        id="createChatCompletion",
        method="POST",
        path="/v1/chat/completions",
        handler=chat_route.chat_completions,
        needs="read",
        tag=_TAG,
        summary="Answer a conversation",
        description=(
            "A published document at the front of the messages is recognised by its text, or named by a content part "
            '`{"type": "kv_document", "document": "handbook@3"}`; its kept KV is then used instead of a prefill. '
            "With `stream` the answer is a sequence of chunks, ended by `data: [DONE]`; an error after the first "
            "byte is an event with the error body."
        ),
        body=ChatBody,
        parameters=SESSION,
        answers=(
            DocumentedAnswer(ChatCompletion, description="The answer.", headers=CACHED, sometimes=TIMED),
        ),
        events=ChatChunk | OpenAIError,
        done=True,
        errors=GENERATION,
        example={
            "model": LOCAL_MODEL,
            "messages": [
                {"role": "system", "content": "Answer briefly."},
                {"role": "user", "content": "How many days of leave do I have?"},
            ],
            "max_completion_tokens": 64,
        },
        forwards=True,
    ),
    Operation(
        id="createCompletion",
        method="POST",
        path="/v1/completions",
        handler=completions_route.completions,
        needs="read",
        tag=_TAG,
        summary="Complete a text",
        description=(
            "The prompt is used without a chat template. With `stream` the answer is a sequence of chunks of the same "
            "format, ended by `data: [DONE]`."
        ),
        body=CompletionBody,
        parameters=SESSION,
        answers=(
            DocumentedAnswer(TextCompletion, description="The answer.", headers=CACHED, sometimes=TIMED),
        ),
        events=TextCompletion | OpenAIError,
        done=True,
        errors=GENERATION,
        example={"model": LOCAL_MODEL, "prompt": "Once upon a time", "max_tokens": 32},
        forwards=True,
    ),
    Operation(
        id="createEmbedding",
        method="POST",
        path="/v1/embeddings",
        handler=embeddings_route.embeddings,
        needs="read",
        tag=_TAG,
        summary="Embed texts",
        description="For upstreams' models only; the upstream checks the body.",
        body=EmbeddingsBody,
        answers=(
            DocumentedAnswer(
                Embeddings, description="The upstream's answer.", headers=CACHED, sometimes=TIMED
            ),
        ),
        errors=(*BODY, ModelNotFound, TimedOut),
        example={"model": "text-embedding-3-small", "input": "How many days of leave do I have?"},
        forwards=True,
    ),
    Operation(
        id="listModels",
        method="GET",
        path="/v1/models",
        handler=models_route.list_models,
        needs="read",
        tag=_TAG,
        summary="List the models",
        description="With the header `anthropic-version` the list has Anthropic's format. " + _OTHER_NAMES,
        parameters=(
            _VERSION,
            Parameter(
                "limit",
                "query",
                {"type": "integer", "minimum": 1, "maximum": models_route.MOST_MODELS, "default": 20},
                "The number of models, with `anthropic-version`; without it all models are listed.",
                "20",
            ),
            Parameter(
                "after_id", "query", {"type": "string"}, "List only the models after this one.", LOCAL_MODEL
            ),
            Parameter(
                "before_id", "query", {"type": "string"}, "List only the models before this one.", LOCAL_MODEL
            ),
        ),
        answers=(
            DocumentedAnswer(
                ModelList | AnthropicModelList,
                description="The local model, then the upstreams' models, then the aliases, without patterns.",
                headers=("Vary",),
            ),
        ),
        errors=(InvalidRequest,),
        both=True,
    ),
    Operation(
        id="retrieveModel",
        method="GET",
        path="/v1/models/{model}",
        handler=models_route.get_model,
        needs="read",
        tag=_TAG,
        summary="Get a model",
        description=_OTHER_NAMES,
        parameters=(
            Parameter(
                "model",
                "path",
                {"type": "string", "minLength": 1},
                "The model's name, slashes included.",
                LOCAL_MODEL,
                slashes=True,
            ),
            _VERSION,
        ),
        answers=(DocumentedAnswer(ModelBody | AnthropicModel, description="The model.", headers=("Vary",)),),
        errors=(ModelNotFound,),
        both=True,
    ),
)
