"""The market on the wire: quotes, receipts, statements and the catalog."""
