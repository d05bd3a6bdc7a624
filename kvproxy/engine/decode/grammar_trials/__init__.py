"""Grammars are compiled in a process that can be killed before this one compiles them.

``trial_server`` is that process, ``trial_client`` asks it, ``attempt`` bounds what one compilation may take of it, and
``tenant_turns`` how many a tenant has under way.
"""
