"""A server with the planted faults of event loops: `/NAME/ID?ms=80`; `/_truth` says what it measured itself. ASGI.

`&also=nap:30` has a second one after the first, for so many milliseconds; `&mended=1` does without the fault, where
there is another way.
"""

from __future__ import annotations

from urllib.parse import parse_qs

import truth
from storing import STORING
from suspending import SUSPENDING

DEFAULT_MS = "80"
FAULTS = {**SUSPENDING, **STORING}


async def answer(path, query):
    """Return status and bytes for a request."""
    name = path.split("/")[1]
    if name == "_truth":
        return 200, truth.as_json()
    if name not in FAULTS:
        return 404, b"no such fault"
    asked = parse_qs(query)
    name += "-mended" if "mended" in asked and f"{name}-mended" in FAULTS else ""
    with truth.serving(path):
        data = await FAULTS[name](float(asked.get("ms", [DEFAULT_MS])[0]) / 1000)
        for second, ms in (pair.split(":") for pair in asked.get("also", ())):
            await FAULTS[second](float(ms) / 1000)
    return 200, data


async def app(scope, receive, send):
    """The ASGI application."""
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    status, body = await answer(scope["path"], scope["query_string"].decode())
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def live(receive, send):
    """Say that start and end went well: nothing is to be done at either."""
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})
