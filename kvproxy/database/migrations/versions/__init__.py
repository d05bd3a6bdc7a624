"""Revisions in the order of their numbers. One that has been released is never changed: a new one follows it.

Written by ``python -m tests.database.write_revision "the subject"``. There is no way back down: restore a copy.
"""
