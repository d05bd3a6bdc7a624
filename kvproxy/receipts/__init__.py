"""Receipts and statements: signed proofs of reads that a reader and a publisher can check without trusting the host."""
