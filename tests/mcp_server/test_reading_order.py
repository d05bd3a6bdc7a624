"""One order of documents, whatever order they are named in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.mcp_server.reading_order import canonical, named_documents, with_documents

REFERENCES = st.lists(st.from_regex(r"[a-c](/[a-c])?(@[0-9]{1,2})?", fullmatch=True), max_size=6)


@given(REFERENCES, st.randoms())
def test_any_order_gives_one(references: list[str], random: object) -> None:
    shuffled = list(references)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types it as object's subclass only
    assert canonical(shuffled) == canonical(references)
    assert set(canonical(references)) == set(references)


def test_versions_are_numbers() -> None:
    assert canonical(["b", "a@10", " a@9 ", "a", "a@x"]) == ["a", "a@x", "a@9", "a@10", "b"]


def test_named_documents_are_found_in_odd_messages() -> None:
    messages = with_documents("q", ["b", "a"], "Be brief.")
    assert named_documents(messages) == ["a", "b"]
    odd = [
        None,
        {},
        {"content": None},
        {"content": ["x", {"type": "kv_document"}, {"type": "text", "document": "c"}]},
    ]
    assert named_documents([*odd, *messages, *messages]) == ["a", "b"]


def test_only_the_last_document_is_marked() -> None:
    [system, user] = with_documents("q", ["b", "a"])
    assert [("prompt_cache_breakpoint" in part) for part in system["content"]] == [False, True]
    assert user == {"role": "user", "content": "q"}
    assert "prompt_cache_breakpoint" not in str(with_documents("q", [], "Be brief."))
