from __future__ import annotations

from kvproxy.backends.fleet.published_prefixes import KeptPrefix, PublishedPrefixes


def kept(*keys: str) -> PublishedPrefixes:
    found = PublishedPrefixes()
    for key in keys:
        found.put(KeptPrefix((1, 2), "s", key))
    return found


def test_only_what_is_read_or_pinned_is_looked_at_in_turns() -> None:
    prefixes = kept("a", "b", "c", "d")
    for key in ("a", "b", "c", "unknown"):
        prefixes.want(key)
    assert prefixes.wanted == 3
    assert [one.key for one in prefixes.next_wanted(2)] == ["a", "b"]
    assert [one.key for one in prefixes.next_wanted(2)] == ["c", "a"]


def test_a_pin_is_looked_at_until_its_last_release() -> None:
    prefixes = kept("a")
    prefixes.pin("a")
    prefixes.pin("a")
    prefixes.unwant("a")
    assert prefixes.pinned("a") and prefixes.wanted == 1
    prefixes.unpin("a")
    assert prefixes.pinned("a")
    prefixes.unpin("a")
    prefixes.unpin("a")
    prefixes.unwant("a")
    assert not prefixes.pinned("a") and prefixes.wanted == 0


def test_what_is_dropped_is_gone_everywhere() -> None:
    prefixes = kept("a")
    prefixes.pin("a")
    prefixes.drop("a")
    assert (len(prefixes), prefixes.wanted, prefixes.pinned("a"), prefixes.find("a")) == (0, 0, False, None)


def test_one_that_is_dropped_during_a_look_is_left_out() -> None:
    prefixes = kept("a", "b")
    for key in ("a", "b"):
        prefixes.want(key)
    looked = prefixes.next_wanted(2)
    assert next(looked).key == "a"
    prefixes.drop("b")
    assert list(looked) == [] and prefixes.wanted == 1
