from kvproxy.cli.app import app

app()
