"""Clients of a scheduler: submit tasks, wait for them without polling, change them.

Blocking::

    client = Client("http://KEY:SECRET@127.0.0.1:6001/apps/ID")
    task = client.submit("thumbnail", {"url": "https://example.com/a.png"})
    for progress in task.progress():
        print(progress.pct, progress.message)
    print(task.result(timeout=30))

On a loop::

    async with AsyncClient("http://KEY:SECRET@127.0.0.1:6001/apps/ID") as client:
        task = await client.submit("thumbnail", {"url": "https://example.com/a.png"})
        print(await task.result(timeout=30))

Read in this order: :mod:`bodies` and :mod:`updates` (what is decided, without any IO), then
:mod:`calls` (HTTP), :mod:`feeds` (WebSocket), :mod:`watching` (the two together),
:mod:`async_task`, :mod:`async_schedules` and :mod:`async_client`, and :mod:`loop_thread` and
:mod:`blocking`, which run the same for programs without a loop.
"""
