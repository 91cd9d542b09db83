"""gunicorn's settings for the demo: one worker with threads, so that the requests meet in one interpreter."""

from __future__ import annotations

from perfwatch.examples import gunicorn_private
from perfwatch.examples.leash import leash

control_socket_disable = gunicorn_private.control_socket_disable
worker_class = "gthread"
workers = 1
threads = 12
keepalive = 75
graceful_timeout = 1
timeout = 60


def on_starting(server: object) -> None:  # noqa: ARG001 - gunicorn's hook
    """Tie the master to the demo; the workers end with the master."""
    leash()
