from flask import Flask
from perfwatch_middleware import PerfwatchWSGI

app = Flask(__name__)


@app.route("/users/<int:user>/posts/<slug>")
def post(user, slug):
    return slug


app.wsgi_app = PerfwatchWSGI(app.wsgi_app)
