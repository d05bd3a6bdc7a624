"""Handlers, session and live events of the dashboard; what its views show is made in :mod:`kvproxy.dashboard`."""
