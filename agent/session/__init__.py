"""The session file: one recording in one SQLite file; `format` holds its contract."""
