from __future__ import annotations

import ast
import json
import subprocess

from kvproxy.dashboard.views.paste_lines import paste_lines

QUESTION = 'Does "clause 7" cost \\$5 \n or $HOME?'


def test_the_lines_hold_a_question_with_quotes_as_it_is() -> None:
    curl, *programs = paste_lines("http://h:1", "m", "a/b@3", QUESTION, keyed=True)
    asked = " ".join(QUESTION.split())
    assert [lines.id for lines in programs] == ["paste-openai", "paste-langchain", "paste-retriever"]
    for program in programs:
        words = [node.value for node in ast.walk(ast.parse(program.text)) if isinstance(node, ast.Constant)]
        assert asked in words and "a/b@3" in words and "KVPROXY_API_KEY" in words
    # The shell hands the here-document to curl; a function stands for it.
    script = "curl() { cat; }\n" + curl.text
    sent = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    body = json.loads(sent)
    assert body["messages"][1]["content"] == asked
    assert body["messages"][0]["content"] == [{"type": "kv_document", "document": "a/b@3"}]


def test_without_keys_no_line_asks_for_one() -> None:
    for lines in paste_lines("http://h:1", "m", "a@1", "Why?", keyed=False):
        assert "KVPROXY_API_KEY" not in lines.text and "Authorization" not in lines.text
