"""Tokens: the tokenizer, joining kept tokens to new text, and memos of encodings."""
