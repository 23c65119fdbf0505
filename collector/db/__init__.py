"""The database: tables, migrations, and how it is opened."""
