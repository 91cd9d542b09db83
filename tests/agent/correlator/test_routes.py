import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.correlator.routes import NOT_SEEN, Routes, fold


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("/", "/"),
        ("", "/"),
        ("*", "*"),
        ("/users/123", "/users/{}"),
        ("/users/123/", "/users/{}/"),
        ("/users/-7/orders/8812", "/users/{}/orders/{}"),
        ("/v2/items", "/v2/items"),
        ("/oauth2/token", "/oauth2/token"),
        ("/f/3f2504e0-4f89-41d3-9a0c-0305e82c3301", "/f/{}"),
        ("/blob/3F2A9C1D", "/blob/{}"),
        ("/commit/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/commit/{}"),
        ("/deadbeef", "/deadbeef"),
        ("/cafe/facade", "/cafe/facade"),
        ("/day/2024-05-01", "/day/{}"),
        ("/at/2024-05-01T10:00:00Z", "/at/{}"),
        ("/host/10.0.0.1", "/host/{}"),
        ("/by/ann@example.org", "/by/{}"),
        ("/by/ann%40example.org", "/by/{}"),
        ("/reset/Zm9vYmFyMTIzNDU2Nzg5MGFiY2Q", "/reset/{}"),
        ("/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sig-nature", "/t/{}"),
        ("/getUserAccountInformation", "/getUserAccountInformation"),
        ("/how-to-bake-bread", "/how-to-bake-bread"),
        ("/static/jquery.min.js", "/static/jquery.min.js"),
        ("http://shop.example/users/5?x=1", "/users/{}"),
        ("/search?q=secret", "/search"),
        ("/a#b", "/a"),
    ],
)
def test_values_are_folded_and_words_are_kept(target, route):
    assert fold(target) == route


def test_a_request_that_is_not_http_has_a_route_of_its_own():
    assert Routes().fold(None) == fold(None) == NOT_SEEN


def test_a_deep_path_is_cut():
    assert fold("/a" * 100).count("/") == 16


@given(st.text(max_size=256))
def test_any_target_folds_to_the_same_route_twice(target):
    routes = Routes()
    assert routes.fold(target) == routes.fold(target) == fold(target)
    assert len(fold(target)) <= max(len(target), 1) * 2 + 4


def test_the_memory_of_paths_is_bounded():
    routes = Routes()
    for number in range(20_000):
        routes.fold(f"/word/x{number}y")
    assert len(routes._known) <= 8192
