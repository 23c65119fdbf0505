from tests.db.fixtures import sqlite_template  # noqa: F401 - a fixture
