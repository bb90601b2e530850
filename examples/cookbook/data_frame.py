"""A table from the person, shown as a table, with a chart of it.

    stepwire dev examples/cookbook/data_frame.py

Attach a CSV file with numbers to a message. ``cl.Dataframe`` takes a frame of pandas or polars as
well as a list of dicts, and ``cl.Plotly`` a figure of plotly as well as its dict.
"""

import csv
from pathlib import Path

import stepwire as cl

Row = dict[str, str]


@cl.step(type="tool")
def read(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@cl.step(type="tool")
def sums(rows: list[Row]) -> dict[str, float]:
    """The sum of each column in which every value is a number."""
    totals: dict[str, float] = {}
    for column in rows[0] if rows else ():
        try:
            totals[column] = sum(float(row[column]) for row in rows)
        except ValueError:
            continue
    return totals


@cl.on_message
async def main(message: cl.Message) -> None:
    tables = [file for file in message.elements if file.mime == "text/csv" and file.path]
    if not tables:
        await cl.Message("Attach a CSV file to your message, please.").send()
    for file in tables:
        rows = read(Path(file.path or ""))
        totals = sums(rows)
        bars = {"type": "bar", "x": list(totals), "y": list(totals.values())}
        await cl.Message(
            f"{file.name} has {len(rows)} rows.",
            elements=[
                cl.Dataframe(name=file.name, data=rows),
                cl.Plotly(name="sums", figure={"data": [bars], "layout": {"title": "Sums"}}),
            ],
        ).send()
