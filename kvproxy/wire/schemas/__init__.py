"""JSON schemas of clients, rewritten to schemas that a grammar can enforce.

Read ``json_schema`` first: ``enforceable_schema`` rewrites a schema or names the keyword that it cannot enforce, with
``keywords`` (tables), ``references``, ``ecma_patterns``, ``string_formats``, ``control_characters`` and
``intersections`` (cost). ``relaxing`` calls it for schemas that are not strict, and drops keywords until the grammar
library compiles the rest; ``blamed_keyword`` finds the keyword in the library's message. The callers are
``answer_formats.answer_grammar`` and the Responses API's tools.
"""
