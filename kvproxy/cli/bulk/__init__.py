"""`kvproxy publish FOLDER|GLOB|URL…`: many documents in one run.

``bulk_sources`` turns arguments into files and URLs with ids, ``fetch_text`` reads a URL, ``bulk_run`` publishes what
has changed.
"""
