"""Payments from outside: top-ups and payment by request, over MPP and x402, credited to the ledger exactly once."""
