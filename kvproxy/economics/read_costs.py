"""Formulas of cold reads, reuse, egress and storage. Prices are whole nano-units, results exact fractions of them."""

from __future__ import annotations

from fractions import Fraction

MILLION = 10**6
BYTES_PER_GB = 10**9
HOURS_PER_MONTH = 730


def prefill_nano(tokens: int, input_nano: int) -> Fraction:
    """Price of ``tokens`` at ``input_nano`` for a million."""
    return Fraction(tokens * input_nano, MILLION)


def egress_nano(kv_bytes: Fraction | int, gb_nano: int) -> Fraction:
    """Price of sending ``kv_bytes`` out at ``gb_nano`` for 10^9 bytes."""
    return Fraction(kv_bytes) * gb_nano / BYTES_PER_GB


def mb_hour_nano(gb_month_nano: int) -> Fraction:
    """Price of a MB-hour, from that of a GB kept for a month of 730 hours."""
    return Fraction(gb_month_nano, 1000 * HOURS_PER_MONTH)


def machine_nano(seconds: Fraction, hour_nano: int) -> Fraction:
    """Price of so many seconds of a machine."""
    return seconds * hour_nano / 3600


def break_even_reads(once: Fraction, cold: Fraction, reuse: Fraction) -> Fraction | None:
    """Return the number of reads after which what is spent once has been saved; None where a read saves nothing.

    All three in the same unit, seconds or money. Example: ``break_even_reads(publish_s, prefill_s, from_disk_s)``
    """
    return once / (cold - reuse) if cold > reuse else None


def needed_part(saved: Fraction, egress: Fraction) -> Fraction | None:
    """Part of its plain size that KV may have so that sending it costs no more than ``saved``; None without egress."""
    return saved / egress if egress else None


def break_even_bytes_per_token(input_nano: int, gb_nano: int) -> Fraction | None:
    """Bytes of KV for a token at which sending it costs as much as computing it, at list prices."""
    return Fraction(input_nano, MILLION) / Fraction(gb_nano, BYTES_PER_GB) if gb_nano else None


def seconds(value: float | str) -> Fraction:
    """Return measured seconds as the exact fraction of their decimal text."""
    return Fraction(str(value))
