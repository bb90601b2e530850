"""Code that blocks: a synchronous handler, and a synchronous library in an asynchronous one.

    stepwire dev examples/cookbook/blocking_code.py

Write an SQL query about ``orders``. A synchronous handler runs in a thread of its own, so it holds
up no other run; ``with cl.Step`` and ``@cl.step`` work there as they do anywhere.
"""

import sqlite3
from contextlib import closing

import stepwire as cl

SCHEMA = """
CREATE TABLE orders (customer TEXT, item TEXT, amount INTEGER);
INSERT INTO orders VALUES ('Ada', 'tea', 3), ('Ada', 'cups', 2), ('Bob', 'tea', 1);
"""


@cl.step(type="tool", show_input="sql")
def query(sql: str) -> list[dict[str, object]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(SCHEMA)
        database.execute("PRAGMA query_only = 1")
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(sql)]


@cl.on_chat_start
async def begin() -> None:
    # In an asynchronous handler, make_async moves what blocks into a thread.
    rows = await cl.make_async(query)("SELECT count(*) AS number FROM orders")
    await cl.Message(f"There are {rows[0]['number']} orders. Ask in SQL.").send()


@cl.on_message
def main(message: cl.Message) -> None:
    try:
        rows = query(message.content)
    except sqlite3.Error as error:
        cl.run_sync(cl.ErrorMessage(f"SQLite says: {error}").send())
        return
    answer = cl.Message(f"{len(rows)} rows", elements=[cl.Dataframe(name="rows", data=rows)])
    cl.run_sync(answer.send())
