"""gunicorn's settings for the second of two services: as for the demo, with a thread for each of many callers."""

from __future__ import annotations

from perfwatch.examples import gunicorn_conf

control_socket_disable = gunicorn_conf.control_socket_disable
worker_class = gunicorn_conf.worker_class
workers = 1
threads = 64
keepalive = gunicorn_conf.keepalive
graceful_timeout = gunicorn_conf.graceful_timeout
timeout = gunicorn_conf.timeout
on_starting = gunicorn_conf.on_starting
