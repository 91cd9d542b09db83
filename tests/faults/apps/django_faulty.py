"""The planted faults in Django: WSGI at `app`."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.urls import re_path
from faulty import answer

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="no secret", DATABASES={})
django.setup()


def page(request):
    if request.path == "/":
        return HttpResponse(b"ok")
    status, data = answer(request.get_full_path(), lambda: request.body)
    return HttpResponse(data, status=status, headers={"Content-Length": len(data)})


urlpatterns = [re_path(".*", page)]
app = WSGIHandler()
