"""The economics of a document's KV, computed from measurements, prices and a ledger's counts. Pure; exact fractions.

Read ``read_costs`` first: the formulas. ``document_economics`` applies them to one document, ``paper_economics`` to the
inputs of "Can I Buy Your KV Cache?", ``ledger_economics`` to reads that were charged. Each result is an
``EconomicLine`` with its formula, its source, and its basis: what was measured, a list price, or a tariff.
"""

from kvproxy.economics.ledger_economics import host_margin

__all__ = ["host_margin"]
