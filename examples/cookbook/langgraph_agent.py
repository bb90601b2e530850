"""An agent made with LangGraph; its nodes, models and tools are steps.

    OPENAI_API_KEY=… stepwire dev examples/cookbook/langgraph_agent.py

The graph does not mention stepwire: one line shows all of it.
"""

# pyright: standard
# (The types of LangGraph are incomplete.)
import os

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

import stepwire as cl
from stepwire.integrations import langchain

langchain.instrument()


@tool
def weather(city: str) -> str:
    """The weather in a city now."""
    return f"Sunny in {city}, 21 °C"


model = ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini")).bind_tools([weather])


async def think(state: MessagesState) -> MessagesState:
    return {"messages": [await model.ainvoke(state["messages"])]}


graph = StateGraph(MessagesState)
graph.add_node("think", think)
graph.add_node("tools", ToolNode([weather]))
graph.add_edge(START, "think")
graph.add_conditional_edges("think", tools_condition)
graph.add_edge("tools", "think")
agent = graph.compile(name="agent")


@cl.on_message
async def main(message: cl.Message) -> None:
    state = await agent.ainvoke({"messages": [HumanMessage(message.content)]})
    await cl.Message(state["messages"][-1].text).send()
