"""The documentation site: its settings, its generated pages, and what binds pages and checkout together.

``make docs`` builds it; ``python -m deploy.docs.write_pages`` writes the generated pages of docs/ anew.
"""
