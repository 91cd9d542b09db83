"""The plain target in Flask, under its threaded development server: `python flask_plain.py 8000`."""

from __future__ import annotations

import sys

from flask import Flask
from plain import spend

app = Flask(__name__)


@app.route("/", defaults={"path": ""})
@app.route("/<path:path>")
def page(path):
    return spend(f"/{path}")


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
