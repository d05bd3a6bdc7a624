"""The operations of OpenAI's Responses API."""

from __future__ import annotations

from kvproxy.errors import (
    InvalidRequest,
    NotFound,
    PreviousResponseNotFound,
    ResponseNotFound,
    Unavailable,
)
from kvproxy.server.openapi.operation import LOCAL_MODEL, DocumentedAnswer, Operation, Parameter
from kvproxy.server.openapi.operations.common_headers import CACHED, SESSION, TIMED
from kvproxy.server.openapi.operations.error_groups import GENERATION, PROMPT
from kvproxy.server.routes import responses_route
from kvproxy.wire.responses.event_types import ErrorEvent, ItemEvent, PieceEvent, ResponseEvent
from kvproxy.wire.responses.response_body import ResponsesBody
from kvproxy.wire.responses.types import InputTokens, ItemList, Response, ResponseDeleted

_TAG = "OpenAI Responses"
_ID = Parameter(
    "id", "path", {"type": "string", "minLength": 1}, "The response's id.", "resp_0123456789abcdef"
)
_EARLIER = (PreviousResponseNotFound, NotFound, Unavailable)

RESPONSES = (
    Operation(
        id="createResponse",
        method="POST",
        path="/v1/responses",
        handler=responses_route.create,
        needs="read",
        tag=_TAG,
        summary="Create a response",
        description=(
            "The response is stored for a while unless `store` is false, so that `previous_response_id` can continue "
            "it. With `stream` the answer is a sequence of named and numbered events; the last one has the whole "
            "response."
        ),
        body=ResponsesBody,
        parameters=SESSION,
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
        needs="read",
        tag=_TAG,
        summary="Count the input's tokens",
        description="Returns the number of input tokens of a response to the same body. For the local model only.",
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
        needs="read",
        tag=_TAG,
        summary="Get a stored response",
        parameters=(
            _ID,
            Parameter(
                "stream",
                "query",
                {"type": "string", "enum": ["false", "0"]},
                "Must be false: a stored response cannot be streamed again.",
                "false",
            ),
        ),
        answers=(DocumentedAnswer(Response, description="The response."),),
        errors=(InvalidRequest, ResponseNotFound, Unavailable),
    ),
    Operation(
        id="deleteResponse",
        method="DELETE",
        path="/v1/responses/{id}",
        handler=responses_route.delete,
        needs="read",
        tag=_TAG,
        summary="Delete a stored response",
        parameters=(_ID,),
        answers=(DocumentedAnswer(ResponseDeleted, description="The response is deleted."),),
        errors=(ResponseNotFound, Unavailable),
    ),
    Operation(
        id="listResponseInputItems",
        method="GET",
        path="/v1/responses/{id}/input_items",
        handler=responses_route.input_items,
        needs="read",
        tag=_TAG,
        summary="List the input items of a stored response",
        parameters=(
            _ID,
            Parameter(
                "limit",
                "query",
                {"type": "integer", "minimum": 1, "maximum": responses_route.MOST_ITEMS, "default": 20},
                "The number of items.",
                "20",
            ),
            Parameter(
                "order",
                "query",
                {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
                "The order of the items; `desc`: the latest first.",
                "desc",
            ),
            Parameter(
                "after",
                "query",
                {"type": "string"},
                "List only the items after the item with this id.",
                "msg_0123456789abcdef",
            ),
        ),
        answers=(DocumentedAnswer(ItemList, description="A page of items."),),
        errors=(InvalidRequest, ResponseNotFound, Unavailable),
    ),
    Operation(
        id="cancelResponse",
        method="POST",
        path="/v1/responses/{id}/cancel",
        handler=responses_route.cancel,
        needs="read",
        tag=_TAG,
        summary="Cancel a background response",
        description="Always refused: kvproxy has no background responses.",
        parameters=(_ID,),
        answers=(),
        errors=(InvalidRequest, ResponseNotFound, Unavailable),
    ),
)
