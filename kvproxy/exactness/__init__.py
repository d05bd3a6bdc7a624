"""Checks that a hit's answer equals a prefill's, to the bit.

Read ``verify`` first: it compares one document's kept pages with a prefill on request (`kvproxy verify`). ``audit``
does so in the background for a share of the served hits. Both hand differences to ``quarantine``, which stops the use
of a document's pages, and which :class:`kvproxy.publish.Publisher` creates over its own parts.
"""
