"""Alembic's environment and the revisions of the schema, which ``migrate`` applies; they ship inside the package."""
