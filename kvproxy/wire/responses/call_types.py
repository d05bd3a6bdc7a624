"""Types of items for calls other than function calls, and for their results, as they stand on the wire."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

CallStatus = Literal["in_progress", "completed", "incomplete"]


class CustomToolCall(TypedDict):
    """A call of a free-form tool."""

    type: Literal["custom_tool_call"]
    id: str
    call_id: str
    name: str
    input: str
    namespace: NotRequired[str]
    status: CallStatus


class LocalShellAction(TypedDict):
    """The command of a local shell call: its arguments, environment and limits."""

    type: Literal["exec"]
    command: list[str]
    env: dict[str, str]
    timeout_ms: int | None
    user: str | None
    working_directory: str | None


class LocalShellCall(TypedDict):
    """A call of the client's own shell, in the older form with one command."""

    type: Literal["local_shell_call"]
    id: str
    call_id: str
    action: LocalShellAction
    status: CallStatus


class ShellAction(TypedDict):
    """The commands of a shell call, with their limits."""

    commands: list[str]
    timeout_ms: int | None
    max_output_length: int | None


class LocalEnvironment(TypedDict):
    """The environment of a shell call: the client's own machine."""

    type: Literal["local"]


class ShellCall(TypedDict):
    """A call of the client's own shell."""

    type: Literal["shell_call"]
    id: str
    call_id: str
    action: ShellAction
    environment: LocalEnvironment
    status: CallStatus


class PatchOperation(TypedDict):
    """A change to one file. ``diff`` is absent where the file is deleted."""

    type: Literal["create_file", "update_file", "delete_file"]
    path: str
    diff: NotRequired[str]


class ApplyPatchCall(TypedDict):
    """A call of the client's own ``apply_patch``."""

    type: Literal["apply_patch_call"]
    id: str
    call_id: str
    operation: PatchOperation
    status: CallStatus


class ToolSearchCall(TypedDict):
    """A call of the client's own search for tools."""

    type: Literal["tool_search_call"]
    id: str
    call_id: str
    execution: Literal["client"]
    arguments: dict[str, Any]
    status: CallStatus


class FoundTools(TypedDict):
    """Tools listed in the conversation; without ``call_id`` they do not answer a search."""

    type: Literal["tool_search_output", "additional_tools"]
    id: str
    call_id: NotRequired[str]
    execution: NotRequired[str]
    role: NotRequired[str]
    status: NotRequired[str]
    tools: list[dict[str, Any]]


class BuiltinOutput(TypedDict):
    """A client's answer to a built-in's call; ``output`` as it was sent."""

    type: Literal["shell_call_output", "local_shell_call_output", "apply_patch_call_output"]
    id: str
    call_id: str
    output: Any
    status: str
