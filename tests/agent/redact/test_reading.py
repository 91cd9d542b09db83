"""A session that is read redacted: what its reader itself says of it names nobody either."""

import shutil

import fake_records
import pytest

from perfwatch.agent.redact.reading import open_reader
from perfwatch.agent.session.writer import SessionWriter


@pytest.mark.parametrize("name", ["acme", "link"])
def test_the_note_on_what_is_missing_does_not_name_the_file_however_it_was_reached(tmp_path, name):
    whole, home = tmp_path / "whole", tmp_path / "home"
    home.mkdir()
    with SessionWriter(whole, fake_records.session_info()) as writer:
        for record in fake_records.generate(3):
            writer.write(record)
        writer.commit()
        shutil.copy(whole, home / "acme")
        shutil.copy(f"{whole}-wal", home / "acme-wal")
    (home / "acme-shm").mkdir()  # so that its newest part cannot be read
    (home / "link").symlink_to("acme")
    with open_reader(home / name, redact=True) as session:
        assert session.note == "its newest part, in FILE-wal, cannot be read"
