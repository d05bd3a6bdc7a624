"""The field table: every field of the dialects' specifications, and its treatment here.

Read ``field`` first: a row, the five treatments (``Sort``) and the functions that make rows. ``chat_fields``,
``response_fields``, ``message_fields`` and ``completion_fields`` hold one tuple for each endpoint, built from
``engine_rows`` and ``neutral``. Each ``parse_*`` module calls ``screen`` with its tuple before it validates a body;
``fields_page`` writes docs/fields.md from the same rows.
"""
