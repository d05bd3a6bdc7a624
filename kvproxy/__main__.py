"""`python -m kvproxy`: runs the command line."""

from kvproxy.cli.app import app

app()
