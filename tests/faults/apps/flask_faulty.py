"""The planted faults in Flask: WSGI at `app`, or `python flask_faulty.py 8000` for its own server."""

from __future__ import annotations

import sys

from faulty import answer
from flask import Flask, Response, request

app = Flask(__name__)


@app.route("/", defaults={"rest": ""})
@app.route("/<path:rest>", methods=["GET", "POST"])
def page(rest):
    status, data = answer(request.full_path, request.get_data) if rest else (200, b"ok")
    return Response(data, status)


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
