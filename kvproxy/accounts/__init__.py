"""Tenants, API keys, budgets and grants: kept in the database, looked up in memory by every request."""
