"""The public names of chainlit 2.12, and the replacements of those that stepwire lacks.

``benchmarks/chainlit_names.py`` compares the list with the library itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

VERSION: Final = "2.12"

_SIGN_IN: Final = (
    "people sign in at your own site, whose tokens the gateway checks: docs/operations.md"
)
_AUDIO: Final = "there is no channel for live sound; upload a recording, and show cl.Audio"
_WINDOW: Final = "the page that shows the session is your own; let it send a message, or run a task"
_LANGCHAIN: Final = "stepwire.integrations.langchain: docs/integrations.md"
_MCP: Final = "open the client of your MCP server in on_app_startup, and its calls as cl.Step"

INSTEAD: Final[Mapping[str, str]] = {
    "AsyncLangchainCallbackHandler": _LANGCHAIN,
    "CopilotFunction": _WINDOW,
    "InputAudioChunk": _AUDIO,
    "LangchainCallbackHandler": _LANGCHAIN,
    "LlamaIndexCallbackHandler": "its OpenTelemetry spans show as steps: "
    "stepwire.integrations.opentelemetry",
    "Mode": "your page chooses, and says it in the metadata of the message",
    "ModeOption": "your page chooses, and says it in the metadata of the message",
    "OutputAudioChunk": _AUDIO,
    "PersistedUser": "stepwire keeps sessions, not people; cl.User is who a run is for",
    "SemanticKernelFilter": "its OpenTelemetry spans show as steps: "
    "stepwire.integrations.opentelemetry",
    "cache": "functools.cache, or what on_app_startup makes; both are of one worker process",
    "data_layer": "sessions are kept in Redis for STEPWIRE_SESSION_TTL_S; copy what is to stay in "
    "on_chat_end",
    "header_auth_callback": _SIGN_IN,
    "instrument_mistralai": "its OpenTelemetry spans show as steps: "
    "stepwire.integrations.opentelemetry",
    "instrument_openai": "stepwire.integrations.openai: docs/integrations.md",
    "oauth_callback": _SIGN_IN,
    "on_audio_chunk": _AUDIO,
    "on_audio_end": _AUDIO,
    "on_audio_start": _AUDIO,
    "on_logout": _SIGN_IN,
    "on_mcp_connect": _MCP,
    "on_mcp_disconnect": _MCP,
    "on_shared_thread_view": "who may read a session is said by the token: docs/protocol.md",
    "on_slack_reaction_added": "there is no bridge to Slack; on_feedback is called for ratings, "
    "also for those that your bridge gives",
    "on_window_message": _WINDOW,
    "password_auth_callback": _SIGN_IN,
    "send_window_message": _WINDOW,
}
"""What to use instead, or why there is nothing."""

HERE: Final = frozenset(
    {
        "Action",
        "AskActionMessage",
        "AskElementMessage",
        "AskFileMessage",
        "AskUserMessage",
        "Audio",
        "ChatGeneration",
        "ChatProfile",
        "ChatSettings",
        "CompletionGeneration",
        "CustomElement",
        "Dataframe",
        "ElementSidebar",
        "ErrorMessage",
        "File",
        "GenerationMessage",
        "Image",
        "Message",
        "Pdf",
        "Plotly",
        "Pyplot",
        "Starter",
        "StarterCategory",
        "Step",
        "Task",
        "TaskList",
        "TaskStatus",
        "Text",
        "User",
        "Video",
        "__version__",
        "action_callback",
        "author_rename",
        "chat_context",
        "context",
        "input_widget",
        "make_async",
        "on_app_shutdown",
        "on_app_startup",
        "on_chat_end",
        "on_chat_resume",
        "on_chat_start",
        "on_feedback",
        "on_message",
        "on_settings_edit",
        "on_settings_update",
        "on_stop",
        "run_sync",
        "set_chat_profiles",
        "set_starter_categories",
        "set_starters",
        "sleep",
        "step",
        "user_session",
    }
)
"""The names that stepwire has, too."""
