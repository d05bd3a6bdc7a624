"""Answer formats: every spelling of a constraint on the answer, read and written as one grammar.

Read ``read_format`` first: single values (a schema, a regex, choices, a grammar) to ``core.answer_format`` types.
``response_format`` (OpenAI's field) and ``engine_fields`` (vLLM's, SGLang's, llama.cpp's) call it from every endpoint's
body. ``answer_constraint`` decides from the request whether the engine has to enforce anything; the engine then calls
``answer_grammar``, which writes the grammar's text with ``answer_rules``, ``gbnf`` and ``gbnf_lark``.
"""
