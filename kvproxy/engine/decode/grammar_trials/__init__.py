"""Grammar trials: a process that can be killed compiles each grammar before this process does.

``trial_server`` is that process, ``trial_client`` asks it, ``attempt`` bounds the CPU time of one compilation, and
``tenant_turns`` how many a tenant has under way.
"""
