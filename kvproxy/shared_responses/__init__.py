"""Stored responses in the database that several proxies share."""
