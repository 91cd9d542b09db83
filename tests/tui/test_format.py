import pytest
from rich.cells import cell_len

from perfwatch.tui import format as fmt


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("plain /path?x", "plain /path?x"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\r\nb\tc\x00", "a\\x0d\\x0ab\\x09c\\x00"),
        ("[bold]x[/]", "[bold]x[/]"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("e\u0301\u200b", "e\\u0301\\u200b"),
        ("\x9b31m", "\\x9b31m"),
        ("grün 漢字", "grün 漢字"),
        ("\ud800", "\\ud800"),
    ],
)
def test_clean_leaves_nothing_that_a_terminal_obeys(hostile, shown):
    assert fmt.clean(hostile) == shown


def test_clean_is_bounded():
    assert len(fmt.clean("\x00" * 100_000)) <= 4_000


@pytest.mark.parametrize("width", [1, 2, 5, 10])
@pytest.mark.parametrize("text", ["", "abc", "a long text", "漢字漢字漢字"])
def test_fit_fills_exactly_its_cells(text, width):
    assert cell_len(fmt.fit(text, width)) == width


def test_a_path_is_cut_in_the_middle():
    assert fmt.fit_path("/a/very/long/path/to/item/4711", 20) == "/a/very/l…/item/4711"


@pytest.mark.parametrize(
    ("ms", "written"),
    [
        (0, "0.0 ms"),
        (-0.0004, "0.0 ms"),
        (-0.4, "-0.4 ms"),
        (0.44, "0.4 ms"),
        (9.96, "10 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (9_994, "9.99 s"),
        (9_996, "10.0 s"),
        (59_940, "59.9 s"),
        (59_960, "1m 00s"),
        (3_600_000, "1h 00m"),
        (90_000_000, "1d 01h"),
    ],
)
def test_duration(ms, written):
    assert fmt.duration(ms) == written
    assert len(written) <= 7


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "0"), (402, "402"), (9_999, "9999"), (12_345, "12k"), (999_600, "1.0M"), (3_400_000, "3.4M")],
)
def test_count(number, written):
    assert fmt.count(number) == written


@pytest.mark.parametrize(
    ("share", "digits", "written"),
    [
        (-0.0001, 0, "0 %"),
        *((0, 0, "0 %"), (0.004, 0, "<1 %"), (0.68, 0, "68 %"), (0.0004, 1, "<0.1 %"), (0.009, 1, "0.9 %")),
        *((0.997, 0, "99 %"), (0.9991, 1, "99.9 %"), (1.0, 0, "100 %"), (1.2, 0, "120 %")),
    ],
)
def test_percent_never_hides_what_is_there_or_missing(share, digits, written):
    assert fmt.percent(share, digits=digits) == written


@pytest.mark.parametrize(
    ("command", "written"),
    [
        ("/srv/venv/bin/python3.12 -P -X dev -m gunicorn shop.wsgi -b :80", "gunicorn shop.wsgi -b :80"),
        ("/srv/venv/bin/python /srv/venv/bin/gunicorn shop.wsgi", "gunicorn shop.wsgi"),
        ("gunicorn: master [shop]", "gunicorn: master [shop]"),
        ("/usr/bin/python3 -u -c pass", "python3 -u -c pass"),
        ("/usr/bin/python3", "python3"),
        ("python evil\x1b[2J.py", "evil\\x1b[2J.py"),
        ("", ""),
    ],
)
def test_a_program_is_named_without_its_interpreter(command, written):
    assert fmt.program(command) == written


@pytest.mark.parametrize(
    ("octets", "written"), [(412, "412 B"), (8_876, "8.9 kB"), (34_000_000, "34 MB"), (5e12, "5 TB")]
)
def test_size(octets, written):
    assert fmt.size(octets) == written


def test_clock_shows_any_date_that_a_recording_may_claim():
    assert fmt.clock(1_790_000_000.2145, ms=True) == "14:13:20.214"
    assert fmt.clock(1e300) == "--:--:--"


@pytest.mark.parametrize(
    ("address", "shown"),
    [("0.0.0.0:8000", ":8000"), ("[::1]:53", ":53"), ("unix:/run/x.sock", "unix:/run/x.sock")],
)
def test_port_of(address, shown):
    assert fmt.port_of(address) == shown
