# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # Steps from a notebook
#
# This is a notebook as text (percent format): VS Code, PyCharm and Spyder run it cell by cell, and
# `jupytext --to ipynb notebook_cells.py` makes a notebook of it.
# Set `STEPWIRE_REDIS_URL` before you start the kernel, and open the session `notebook` in the page
# of a gateway on that Redis: each cell that you run adds to it, live.

# %%
import statistics

import stepwire as cl

SESSION = "notebook"
MEASURED = {"monday": [2.1, 2.3, 1.9], "tuesday": [5.0, 2.2, 2.0]}

# %% A step that later cells go on under
with cl.session(SESSION), cl.Step(name="analysis", type="run") as analysis:
    analysis.input = MEASURED
    place = cl.current().export()

# %% A cell may be run again: its steps are added once more
medians: dict[str, float] = {}
with cl.attach(place):
    for day, values in MEASURED.items():
        with cl.Step(name=day, type="tool") as step:
            medians[day] = statistics.median(values)
            step.output = {"median": medians[day]}

# %% Functions of your own, decorated, show their arguments and results


@cl.step(type="tool")
def outliers(values: list[float], *, limit: float = 2.0) -> list[float]:
    middle = statistics.median(values)
    return [value for value in values if value > limit * middle]


with cl.attach(place):
    strange = {day: outliers(values) for day, values in MEASURED.items()}

# %% What others are to look at
with cl.session(SESSION), cl.Step(name="result", type="run") as result:
    result.output = f"Outliers: {strange}"
    result.elements = [cl.Json(name="medians", content=medians)]

# %% [markdown]
# Messages are sent with `await cl.Message("…").send()` inside `async with cl.session(SESSION):`,
# which a cell may do, too: notebooks have an event loop that runs already.
