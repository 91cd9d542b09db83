import pytest

from perfwatch.agent.trees.origin import is_own, prefixes, roots, telling
from perfwatch.probes.frames import Frame

OWN = ["/srv/shop/shop/orders.py", "shop/orders.py", "<string>", "/opt/library/app.py", "/srv/python3/app.py"]
INSTALLED = [
    "/usr/lib/python3.11/json/decoder.py",
    "/usr/lib/python3/dist-packages/flask/app.py",
    "/root/.pyenv/versions/3.13.0/lib/python3.13/threading.py",
    "/srv/shop/venv/lib64/python3.8/site-packages/gunicorn/arbiter.py",
    "/usr/lib/python311.zip/json/decoder.py",
    "<frozen importlib._bootstrap>",
    "<attrs generated init shop.Order>",
    "",
]


@pytest.mark.parametrize("file", OWN)
def test_own(file):
    assert is_own(Frame("f", file, 1))
    assert not is_own(Frame("f", file, 0, is_native=True))


@pytest.mark.parametrize("file", INSTALLED)
def test_not_own(file):
    assert not is_own(Frame("f", file, 1))


def test_the_telling_frame_is_the_innermost_of_its_own_code():
    library, own, outer = Frame("l", INSTALLED[0], 1), Frame("own", OWN[0], 2), Frame("outer", OWN[0], 3)
    assert telling((library, own, outer)) is own
    assert telling((library,)) is library
    assert telling(()) is None


def test_where_installed_code_lies():
    assert prefixes([*OWN, *INSTALLED[:3]]) == [
        "/root/.pyenv/versions/3.13.0/lib/python3.13/",
        "/usr/lib/python3.11/",
        "/usr/lib/python3/",
    ]


@pytest.mark.parametrize(
    ("files", "root"),
    [
        (["/srv/shop/app.py"], ["/srv/shop"]),
        (["/srv/shop/app/views.py", "/srv/shop/db/query.py", "/srv/shop/app/urls.py"], ["/srv/shop"]),
        (["/srv/app.py", "/home/app.py"], []),
        (["app.py", "/app.py"], []),
        ([], []),
    ],
)
def test_own_files_are_told_from_the_directory_they_share(files, root):
    assert roots(files, []) == root


def test_packages_are_told_from_where_they_are_installed():
    assert roots([INSTALLED[1]], ["/usr/lib/x86_64-linux-gnu/libc.so.6"]) == [
        "/usr/lib/python3",
        "/usr/lib/python3/dist-packages",
        "/usr/lib/x86_64-linux-gnu",
    ]
