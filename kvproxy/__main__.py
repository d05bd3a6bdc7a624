from kvproxy.cli import app

app()
