"""OpenAI's Responses API."""

from __future__ import annotations

from kvproxy.errors import (
    InvalidRequest,
    NotFound,
    PreviousResponseNotFound,
    ResponseNotFound,
    Unavailable,
)
from kvproxy.server.openapi.operation import LOCAL_MODEL, DocumentedAnswer, Operation, Parameter
from kvproxy.server.openapi.operations.common_headers import CACHED, TIMED
from kvproxy.server.openapi.operations.error_groups import GENERATION, PROMPT
from kvproxy.server.routes import responses_route
from kvproxy.wire.responses.response_body import ResponsesBody
from kvproxy.wire.responses.types import (
    ErrorEvent,
    InputTokens,
    ItemEvent,
    ItemList,
    PieceEvent,
    Response,
    ResponseDeleted,
    ResponseEvent,
)

_TAG = "OpenAI Responses"
_ID = Parameter(
    "id", "path", {"type": "string", "minLength": 1}, "The response's id.", "resp_0123456789abcdef"
)
_EARLIER = (PreviousResponseNotFound, NotFound)

RESPONSES = (
    Operation(
        id="createResponse",
        method="POST",
        path="/v1/responses",
        handler=responses_route.create,
        tag=_TAG,
        summary="Make a response",
        description=(
            "Stored for a while unless `store` is false, so that `previous_response_id` can continue it. With "
            "`stream` the answer is a sequence of named events, each numbered, the last of which carries the whole "
            "response."
        ),
        body=ResponsesBody,
        answers=(DocumentedAnswer(Response, description="The response.", headers=CACHED, sometimes=TIMED),),
        events=ResponseEvent | ItemEvent | PieceEvent | ErrorEvent,
        errors=(*GENERATION, *_EARLIER),
        example={
            "model": LOCAL_MODEL,
            "instructions": "Answer briefly.",
            "input": "How many days of leave do I have?",
            "max_output_tokens": 64,
        },
        forwards=True,
    ),
    Operation(
        id="countResponseInputTokens",
        method="POST",
        path="/v1/responses/input_tokens",
        handler=responses_route.count,
        tag=_TAG,
        summary="Count the input's tokens",
        description="What a response to the same body would count as input. The local model only.",
        body=ResponsesBody,
        answers=(DocumentedAnswer(InputTokens, description="The count."),),
        errors=(*PROMPT, *_EARLIER),
        example={"model": LOCAL_MODEL, "input": "How many days of leave do I have?"},
    ),
    Operation(
        id="retrieveResponse",
        method="GET",
        path="/v1/responses/{id}",
        handler=responses_route.retrieve,
        tag=_TAG,
        summary="Read a stored response",
        parameters=(
            _ID,
            Parameter(
                "stream",
                "query",
                {"type": "string", "enum": ["false", "0"]},
                "A stored response cannot be streamed again.",
                "false",
            ),
        ),
        answers=(DocumentedAnswer(Response, description="The response."),),
        errors=(InvalidRequest, ResponseNotFound),
    ),
    Operation(
        id="deleteResponse",
        method="DELETE",
        path="/v1/responses/{id}",
        handler=responses_route.delete,
        tag=_TAG,
        summary="Delete a stored response",
        parameters=(_ID,),
        answers=(DocumentedAnswer(ResponseDeleted, description="It is gone."),),
        errors=(ResponseNotFound, Unavailable),
    ),
    Operation(
        id="listResponseInputItems",
        method="GET",
        path="/v1/responses/{id}/input_items",
        handler=responses_route.input_items,
        tag=_TAG,
        summary="List what a stored response answered",
        parameters=(
            _ID,
            Parameter(
                "limit",
                "query",
                {"type": "integer", "minimum": 1, "maximum": responses_route.MOST_ITEMS, "default": 20},
                "How many items.",
                "20",
            ),
            Parameter(
                "order",
                "query",
                {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
                "desc: the latest first.",
                "desc",
            ),
            Parameter(
                "after",
                "query",
                {"type": "string"},
                "Only what follows this item's id.",
                "msg_0123456789abcdef",
            ),
        ),
        answers=(DocumentedAnswer(ItemList, description="A page of items."),),
        errors=(InvalidRequest, ResponseNotFound),
    ),
    Operation(
        id="cancelResponse",
        method="POST",
        path="/v1/responses/{id}/cancel",
        handler=responses_route.cancel,
        tag=_TAG,
        summary="Cancel a background response",
        description="Always refused: there are no background responses here.",
        parameters=(_ID,),
        answers=(),
        errors=(InvalidRequest, ResponseNotFound),
    ),
)
