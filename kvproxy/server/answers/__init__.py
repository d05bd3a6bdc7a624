"""Writing answers: whole, streamed, or relayed from an upstream."""
