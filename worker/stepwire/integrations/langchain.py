"""LangChain and LangGraph: every run of a chain, node, model, tool or retriever is a step.

::

    from stepwire.integrations import langchain
    langchain.instrument()

or, for one call, ``graph.ainvoke(question, {"callbacks": [langchain.AsyncStepHandler()]})``.

Steps nest as LangChain's runs do (``parent_run_id``); the outermost nests under the stepwire step
around the call. A step's id is the run's id. Types are ``run`` (chains, graphs and their nodes),
``llm``, ``tool`` and ``retrieval``. Shown are inputs and outputs, the text of a model that streams
token by token, and ``model``, ``usage``, ``finish_reason`` and ``tool_calls`` in the
metadata, with LangChain's own tags. A run that fails ends with its error. An interrupt of LangGraph
is none: its steps end as ``ok`` with ``control`` in the metadata. Runs that LangChain hides from
its own tracer (tag ``langsmith:hidden``) are left out; what they call without that tag nests above.

Neither handler ever raises into a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook

from stepwire._scope.context import own_frame
from stepwire.integrations import _model_calls as model_calls
from stepwire.integrations._foreign import ForeignStep, Shown
from stepwire.integrations._guest import Guard, Switch
from stepwire.integrations._langchain_values import (
    model_answer,
    model_name,
    run_name,
    shown,
    shown_message,
    token_text,
)
from stepwire.integrations._open_steps import OpenSteps

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

_HIDDEN: Final = "langsmith:hidden"
_guard = Guard("langchain")
_steps: OpenSteps[UUID] = OpenSteps(_guard, lambda: _current())


def instrument() -> Callable[[], None]:
    """Show every run inside a session, wherever it is started; once, however often it is called.

    A call that has a handler of this module among its callbacks keeps that one.

    Returns what takes it back: :func:`uninstrument`. Runs that are under way still end.
    """
    return _switch.on()


def uninstrument() -> None:
    """Show no further runs but those of handlers that are given by hand."""
    _switch.off()


class StepHandler(BaseCallbackHandler):
    """A callback handler for synchronous code: ``chain.invoke(x, {"callbacks": [StepHandler()]})``.

    It works in asynchronous code too, where LangChain calls it in threads.
    """

    # Not inline: an inline handler silences the others at `on_llm_start` of asynchronous models.
    run_inline = False

    def __init__(self) -> None:
        _here.register()

    # -- starts ---------------------------------------------------------------------------------

    @_guard
    def on_chain_start(self, serialized: Any, inputs: Any, **run: Any) -> None:
        self._begin("run", run_name(serialized, run, "chain"), inputs, run)

    @_guard
    def on_tool_start(self, serialized: Any, input_str: str, **run: Any) -> None:
        self._begin("tool", run_name(serialized, run, "tool"), run.get("inputs") or input_str, run)

    @_guard
    def on_retriever_start(self, serialized: Any, query: str, **run: Any) -> None:
        self._begin("retrieval", run_name(serialized, run, "retriever"), query, run)

    @_guard
    def on_llm_start(self, serialized: Any, prompts: list[str], **run: Any) -> None:
        asked = prompts[0] if len(prompts) == 1 else prompts
        self._begin("llm", model_name(serialized, run), asked, run)

    @_guard
    def on_chat_model_start(
        self, serialized: Any, messages: list[list[BaseMessage]], **run: Any
    ) -> None:
        asked = [shown_message(message) for batch in messages for message in batch]
        self._begin("llm", model_name(serialized, run), asked, run)

    # -- what comes in between ------------------------------------------------------------------

    @_guard
    def on_llm_new_token(self, token: Any, *, run_id: UUID, **_run: Any) -> None:
        step = _steps.get(run_id)
        if step is not None:
            step.stream(token_text(token), by=self)
            self._wait(step)

    # -- ends -----------------------------------------------------------------------------------

    @_guard
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **run: Any) -> None:
        # A chain that is streamed tells its inputs only now.
        self._end(run_id, outputs, asked=run.get("inputs"))

    @_guard
    def on_tool_end(self, output: Any, *, run_id: UUID, **_run: Any) -> None:
        self._end(run_id, shown(output))

    @_guard
    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **_run: Any) -> None:
        found = [{"text": doc.page_content, "metadata": doc.metadata} for doc in documents]
        self._end(run_id, found)

    @_guard
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_run: Any) -> None:
        self._end(run_id, *model_answer(response))

    @_guard
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_run: Any) -> None:
        if any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__):
            # How LangGraph leaves a node on purpose: an interrupt, or a command to its parent.
            self._end(run_id, None, {"control": type(error).__name__})
        else:
            self._end(run_id, None, error=error)

    on_tool_error = on_chain_error
    on_retriever_error = on_chain_error
    on_llm_error = on_chain_error

    # -- steps ----------------------------------------------------------------------------------

    def _begin(self, type: str, name: str, asked: Any, run: dict[str, Any]) -> None:
        key, parent, tags = run["run_id"], run.get("parent_run_id"), run.get("tags") or ()
        if _HIDDEN in tags:
            _steps.hide(key, parent)
            return
        step = _steps.begin(
            key,
            parent,
            source="langchain",
            name=name,
            type=type,
            model=name,
            id=str(key),
            asked=None if run.get("defers_inputs") else shown(asked),
            tags=[tag for tag in tags if not tag.startswith("seq:step:")],
        )
        if type == "llm" and isinstance(step, ForeignStep):
            model_calls.add(step)
        if step is not None:
            self._wait(step)

    def _end(
        self,
        key: UUID,
        output: Any,
        facts: dict[str, Any] | None = None,
        *,
        asked: Any = None,
        error: BaseException | None = None,
    ) -> None:
        step = _steps.pop(key)
        if step is not None:
            step.finish(asked=shown(asked), output=shown(output), metadata=facts, error=error)
            self._wait(step)

    def _wait(self, step: Shown) -> None:
        step.producer.room_sync()


def _awaited(method: Callable[..., None]) -> Any:
    @wraps(method)
    async def wrapper(self: StepHandler, *args: Any, **run: Any) -> None:
        ending = _steps.get(run["run_id"])
        method(self, *args, **run)
        with _guard:
            step = ending or _steps.get(run["run_id"])
            if step is not None:
                await step.producer.room()

    return wrapper


class AsyncStepHandler(StepHandler):
    """A callback handler for asynchronous code: ``ainvoke``, ``astream``; no thread in between."""

    def _wait(self, step: Shown) -> None:
        """Each of its methods awaits it."""

    on_chain_start: Any = _awaited(StepHandler.on_chain_start)
    on_tool_start: Any = _awaited(StepHandler.on_tool_start)
    on_retriever_start: Any = _awaited(StepHandler.on_retriever_start)
    on_llm_start: Any = _awaited(StepHandler.on_llm_start)
    on_chat_model_start: Any = _awaited(StepHandler.on_chat_model_start)
    on_llm_new_token: Any = _awaited(StepHandler.on_llm_new_token)
    on_chain_end: Any = _awaited(StepHandler.on_chain_end)
    on_tool_end: Any = _awaited(StepHandler.on_tool_end)
    on_retriever_end: Any = _awaited(StepHandler.on_retriever_end)
    on_llm_end: Any = _awaited(StepHandler.on_llm_end)
    on_chain_error: Any = _awaited(StepHandler.on_chain_error)
    on_tool_error: Any = _awaited(StepHandler.on_chain_error)
    on_retriever_error: Any = _awaited(StepHandler.on_chain_error)
    on_llm_error: Any = _awaited(StepHandler.on_chain_error)


class _Here:
    """Stands where LangChain looks for a context variable: the handler of the running code.

    It looks when it is about to begin a run, in the code that the run is called from.
    """

    def __init__(self) -> None:
        self._registered = False
        self._active = False
        self._handlers: tuple[StepHandler, StepHandler] | None = None

    def register(self) -> None:
        if not self._registered:
            # A hook cannot be taken back: it stays, and finds nothing.
            self._registered = True
            register_configure_hook(self, True, StepHandler)  # type: ignore[arg-type]

    def put(self) -> Callable[[], None]:
        self._handlers = self._handlers or (StepHandler(), AsyncStepHandler())
        self._active = True
        return self._leave

    def _leave(self) -> None:
        self._active = False

    def get(self) -> StepHandler | None:
        if own_frame() is None:
            return None
        model_calls.expect()
        if not self._active or self._handlers is None:
            return None
        sync, async_ = self._handlers
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return sync
        return async_


_here = _Here()
_switch = Switch(_here.put)


def _current() -> UUID | None:
    """The id of the run that is around the running code."""
    config = var_child_runnable_config.get()
    return None if config is None else getattr(config.get("callbacks"), "parent_run_id", None)
