"""Programs for those who work on kvproxy; none of them is part of the distribution."""
