"""JSON for a terminal: the same values, and nothing in it that the terminal obeys."""

import json

from perfwatch.agent.json_text import json_text

EVIL = "\x9b31m\x1b[2J\x07\x7f\u202e\u2066\ufeff\r\n"


def test_what_a_terminal_obeys_is_escaped_and_means_the_same():
    text = json_text({EVIL: [EVIL, "Grüße, 世界"]})
    assert json.loads(text) == {EVIL: [EVIL, "Grüße, 世界"]}
    assert text.replace("\n", "").isprintable()
    assert "Grüße, 世界" in text
    assert text.endswith("}\n")
