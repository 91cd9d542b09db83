import pytest

from perfwatch.agent.trees.origin import Files
from perfwatch.probes.frames import Frame

LIBRARY = "/usr/lib/python3/dist-packages/flask/app.py"
STANDARD = "/root/.pyenv/versions/3.13.0/lib/python3.13/threading.py"
NATIVE = "/usr/lib/x86_64-linux-gnu/libc.so.6"


def seen(*names, native=()):
    files = Files()
    for name in names:
        files.see(Frame("f", name, 1), name)
    for name in native:
        files.see(Frame("f", name, 0, is_native=True), name)
    return files


def test_what_is_not_own_code():
    files = seen("/srv/shop/orders.py", "<string>", "", LIBRARY, STANDARD, native=[NATIVE, ""])
    assert files.foreign() == sorted([LIBRARY, NATIVE, STANDARD])


@pytest.mark.parametrize(
    ("names", "roots"),
    [
        (["/srv/shop/app.py"], ["/srv/shop"]),
        (["/srv/shop/app/views.py", "/srv/shop/db/query.py", "/srv/shop/app/urls.py"], ["/srv/shop"]),
        (["/srv/app.py", "/home/app.py"], []),
        (["app.py", "/app.py"], []),
        ([], []),
        ([LIBRARY], ["/usr/lib/python3", "/usr/lib/python3/dist-packages"]),
        ([STANDARD, "/srv/shop/app.py"], ["/root/.pyenv/versions/3.13.0/lib/python3.13", "/srv/shop"]),
        (["/usr/lib/python311.zip/json/decoder.py"], ["/usr/lib/python311.zip"]),
    ],
)
def test_directories_that_names_are_told_from(names, roots):
    assert seen(*names).roots() == roots


def test_native_code_is_told_by_the_name_of_its_library():
    assert seen(native=[NATIVE, "libfoo.so"]).roots() == ["/usr/lib/x86_64-linux-gnu"]
