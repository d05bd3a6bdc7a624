"""Signed manifests: for each document version, a statement of its host on its text, its tokens and its pages.

Read ``manifest`` first: the frozen value. ``manifest_claims`` writes and reads it as canonical JSON, under bounds;
``version_manifests`` makes the manifests of this host's versions, signs and keeps them; ``trusted_hosts`` verifies
those of others.
"""
