"""One SQL database: SQLite in the store's folder, or PostgreSQL by URL. SQLAlchemy Core and alembic, no ORM."""
