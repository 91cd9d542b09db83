"""The plain target in Django: WSGI at `app`, or `python django_plain.py runserver --noreload 8000`."""

from __future__ import annotations

import sys

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import re_path
from plain import spend

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="no secret", DATABASES={})
django.setup()

urlpatterns = [re_path(".*", lambda request: HttpResponse(spend(request.path)))]
app = WSGIHandler()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
