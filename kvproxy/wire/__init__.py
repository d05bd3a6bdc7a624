"""Wire formats: OpenAI's and Anthropic's JSON to ``kvproxy.core`` values and back.

Pure: no I/O, no clock. Each API has a package (``chat``, ``completions``, ``responses``, ``anthropic``): its
``parse_*`` module turns a body into a request and its answer modules turn events into bytes; all stand on ``bodies``
(reading JSON), ``fields`` (the table of known fields), ``history`` (the conversation so far), ``tools`` and
``answer_formats``.
"""
