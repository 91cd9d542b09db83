"""Files for speedscope: by its own schema, in nanoseconds that add up, and opened by the application itself."""

import json
from pathlib import Path

import exporting
import jsonschema
import making as m
import pytest
from speedscope_app import needs_speedscope, rows_shown

SCHEMA = json.loads((Path(__file__).parents[2] / "fixtures/schemas/speedscope-1.25.0.json").read_text())
ORDERS, SEARCH = "POST /order/{}", "GET /search"


@pytest.fixture
def file(tmp_path):
    search = exporting.slow_order(7, 3500, ms=700)
    records = [*exporting.shop(), exporting.changed(search, method="GET", target="/search")]
    return exporting.recorded(tmp_path / "shop", records)


def test_it_is_what_the_schema_says_and_adds_up(file):
    made = json.loads(exporting.exported(file, "speedscope"))
    jsonschema.Draft7Validator(SCHEMA).validate(made)
    profiles = {one["name"]: one for one in made["profiles"]}
    assert [*profiles] == ["all", ORDERS, SEARCH]
    assert [one["endValue"] // m.MS for one in profiles.values()] == [2600, 1900, 700]
    assert all(sum(one["weights"]) == one["endValue"] for one in profiles.values())
    frames = [one["name"] for one in made["shared"]["frames"]]
    paths = [[frames[place] for place in sample] for sample in profiles["all"]["samples"]]
    assert [SEARCH, "ThreadWorker.handle", "place_order", "Cache.get", "[lock]"] in paths
    assert [ORDERS, "[queue]"] in paths
    places = {one["name"]: (one.get("file"), one.get("line")) for one in made["shared"]["frames"]}
    assert places["Cache.get"] == ("/srv/shop/cache.py", 61)
    assert places["json.dumps"] == (None, None)


@pytest.mark.slow
@needs_speedscope
def test_speedscope_shows_it(file, tmp_path):
    rows = rows_shown(exporting.exported(file, "speedscope"), "shop.speedscope.json", tmp_path)
    assert [row[1:] for row in rows if row[:1] in (["1"], ["2"], ["3"])] == [
        ["all", "2.60s"],
        [ORDERS, "1.90s"],
        [SEARCH, "700.00ms"],
    ]
    assert ["2.40s (92%)", "2.40s (92%)", "[lock]"] in rows
    assert ["1.55s (60%)", "0.00ns (<0.01%)", "Cache.get"] in rows


@pytest.mark.slow
@needs_speedscope
def test_speedscope_opens_collapsed_stacks_too(file, tmp_path):
    rows = rows_shown(exporting.exported(file, "collapsed"), "shop.collapsed.txt", tmp_path)
    assert ["2,400,000,000 (92%)", "2,400,000,000 (92%)", "[lock]"] in rows
    assert ["1,550,000,000 (60%)", "0 (<0.01%)", "Cache.get (cache.py:61)"] in rows
