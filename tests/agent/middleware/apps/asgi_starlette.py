from perfwatch_middleware import PerfwatchMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route


async def post(request):
    return PlainTextResponse(request.path_params["slug"])


async def twice(request):
    return PlainTextResponse("ok")


app = Starlette(
    routes=[
        Route("/", twice),
        Mount("/users/{user:int}", routes=[Route("/posts/{slug}", post)]),
    ],
    middleware=[Middleware(PerfwatchMiddleware)],
)
