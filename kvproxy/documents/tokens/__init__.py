"""Tokens: the tokenizer, the exact joining of kept tokens to new text, and memos of encodings.

Read ``token_join`` first: it states why a document's tokens can be reused behind any text, and ``TokenJoiner`` does
it. It calls ``tokenizer``, and ``encoding_memo`` for text that was encoded a moment ago. ``escape`` keeps client text
from acting as control tokens; ``supported_tokenizers`` is the closed list that the proofs hold for;
``encoding_budget`` bounds the work on the event loop.
"""
