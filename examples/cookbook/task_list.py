"""A long job, with a list of what is done and what is left.

    stepwire dev examples/cookbook/task_list.py

Write some names, one a line. The list is one element that changes while the job goes on; each task
points to its step. A task that fails is marked and does not hold up the rest.
"""

import stepwire as cl


async def process(name: str) -> str:
    """Put your work here."""
    await cl.sleep(0)
    if not name.isalnum():
        raise ValueError(f"{name!r} is not a name")
    return name.upper()


async def work_on(task: cl.Task, tasks: cl.TaskList) -> bool:
    """Whether it went well."""
    try:
        async with cl.Step(name=task.title, type="tool") as step:
            task.status, task.forId = cl.TaskStatus.RUNNING, step.id
            await tasks.update()
            step.output = await process(task.title)
    except ValueError:
        task.status = cl.TaskStatus.FAILED
    else:
        task.status = cl.TaskStatus.DONE
    return task.status is cl.TaskStatus.DONE


@cl.on_message
async def main(message: cl.Message) -> None:
    names = message.content.splitlines()
    tasks = cl.TaskList([cl.Task(name) for name in names], status="Working")
    await tasks.send()
    done = [await work_on(task, tasks) for task in tasks.tasks]
    tasks.status = f"{sum(done)} of {len(done)} done"
    await tasks.update()
    await cl.Message(tasks.status).send()
