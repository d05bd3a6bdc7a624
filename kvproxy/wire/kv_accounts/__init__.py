"""Accounts on the wire: tenants, API keys, budgets and grants."""
