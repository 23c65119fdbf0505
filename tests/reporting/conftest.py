from tests.db.fixtures import (  # noqa: F401 - fixtures
    backend,
    database,
    database_names,
    database_url,
    empty_url,
    make_url,
    postgresql_server,
    sqlite_template,
)
