"""The ledger: holds, settlements and transfers as an append-only chain of double entries."""
