import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import include, path
from perfwatch_middleware import PerfwatchMiddleware, PerfwatchWSGI

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="no secret", DATABASES={})
django.setup()

posts = [path("<slug:slug>", lambda request, user, slug: HttpResponse(slug))]
urlpatterns = [path("", lambda request: HttpResponse("home")), path("users/<int:user>/posts/", include(posts))]
wsgi = PerfwatchWSGI(get_wsgi_application())
asgi = PerfwatchMiddleware(get_asgi_application())
