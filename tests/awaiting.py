"""Programs whose asyncio tasks are known, for tests: each says itself what each of its tasks awaits."""

KNOWN = """
import asyncio, gc, json, sys, types

def chain(awaited):
    frames = []
    while awaited is not None:
        for prefix in ("cr", "gi", "ag"):
            frame = getattr(awaited, prefix + "_frame", None)
            if frame is not None:
                code = frame.f_code
                name = getattr(code, "co_qualname", code.co_name)
                frames.insert(0, [name, code.co_filename, frame.f_lineno])
                awaited = getattr(awaited, {"gi": "gi_yieldfrom"}.get(prefix, prefix + "_await"))
                break
        else:
            held = [each for each in gc.get_referents(awaited) if not isinstance(each, type)]
            kind = type(awaited).__name__
            if kind == "FutureIter":
                if isinstance(held[0], asyncio.Task) and not held[0].done():
                    awaited = held[0].get_coro()
                    continue
                return frames, None if held[0].done() else name_of(held[0])
            if kind in ("coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable"):
                awaited = held[0]
                continue
            return frames, kind
    return frames, None

def name_of(thing):
    kind = type(thing)
    return ("_asyncio." if kind.__module__ == "_asyncio" else "") + kind.__name__

async def nap():
    await asyncio.sleep(1000)
async def nested(depth):
    if depth:
        await nested(depth - 1)
    else:
        await nap()
async def permit(semaphore):
    async with semaphore:
        pass
async def item(queue):
    return await queue.get()
async def event(told):
    held = [told]
    await held[0].wait()
async def bare(future):
    await future
async def numbers(told):
    yield 1
    await told.wait()
    yield 2
async def iterate(told):
    async for each in numbers(told):
        pass
async def throw(told):
    generator = catching(told)
    await generator.asend(None)
    await generator.athrow(ValueError)
async def catching(told):
    try:
        yield 1
    except ValueError:
        await told.wait()
        yield 2
async def closing(told):
    generator = in_finally(told)
    await generator.asend(None)
    await generator.aclose()
async def in_finally(told):
    try:
        yield 1
    finally:
        await told.wait()
async def default(told):
    await anext(catching_none(told), None)
async def catching_none(told):
    await told.wait()
    yield 1
class Awaitable:
    def __init__(self, inner):
        self.inner = inner
    def __await__(self):
        return (yield from self.inner.__await__())
async def awaitable():
    await Awaitable(nap())
@types.coroutine
def old():
    yield from nap()
async def old_style():
    await old()
async def gathering():
    await asyncio.gather(nap(), nested(1))
async def in_time():
    await asyncio.wait_for(nap(), 1000)
async def waiting():
    await asyncio.wait([asyncio.ensure_future(nap())])
async def of_task(task):
    await task
async def guarded(condition):
    async with condition:
        await condition.wait()
async def many_variables():
    a = b = c = d = e = f = g = h = i = j = k = l = m = n = o = p = q = r = s = t = u = v = w = x = y = z = 0
    aa = bb = cc = dd = ee = ff = gg = hh = [sum([a, await asyncio.sleep(1000), b])]

async def main():
    told, future = asyncio.Event(), asyncio.get_running_loop().create_future()
    begun = [
        nap(), nested(0), nested(30), permit(asyncio.Semaphore(0)), item(asyncio.Queue()), event(told), bare(future),
        iterate(told), throw(told), closing(told), awaitable(), old_style(), gathering(), in_time(), waiting(),
        guarded(asyncio.Condition()), many_variables(),
    ]
    if sys.version_info >= (3, 10):
        begun.append(default(told))
    tasks = [asyncio.ensure_future(each) for each in begun]
    tasks.append(asyncio.ensure_future(of_task(tasks[1])))
    done = asyncio.get_running_loop().create_future()
    tasks.append(asyncio.ensure_future(bare(done)))
    ended = asyncio.ensure_future(asyncio.sleep(0))
    for _ in range(9):
        await asyncio.sleep(0)
    done.set_result(None)
    never = asyncio.ensure_future(nap())  # it has not begun
    mine = asyncio.current_task()
    truth = {id(task): chain(task.get_coro()) for task in asyncio.all_tasks() if task is not mine}
    print(json.dumps({"tasks": truth, "main": id(mine), "ended": id(ended), "never": id(never)}))
    sys.stdin.readline()
asyncio.run(main())
"""
