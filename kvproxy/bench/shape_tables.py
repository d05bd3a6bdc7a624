"""Output of ``kvproxy bench roofline``, ``readers`` and ``paper``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from kvproxy.terminal.tables import console


def print_roofline(result: Mapping[str, Any]) -> None:
    """Print the table of ``kvproxy bench roofline``."""
    out = console()
    table = Table(
        "what",
        "behind tokens",
        "kvproxy",
        "bound",
        "of bound",
        "transformers",
        "of transformers",
        title=_title(result),
    )
    for row in result["roofline"]:
        table.add_row(
            row["what"],
            f"{row['tokens']:,}",
            _time(row["kvproxy_s"]),
            _time(row["bound_s"]),
            f"{row['of_bound']:.2f}",
            _time(row["transformers_s"]),
            f"{row['of_transformers']:.2f}",
        )
    out.print(table)
    ceilings = result["ceilings"]
    products = Table("product", "rows", "inner", "columns", "GFLOP/s", box=None)
    for p in ceilings["products"]:
        sizes = (f"{p[name]:,}" for name in ("rows", "inner", "columns"))
        products.add_row(p["by"], *sizes, f"{p['gflops']:,.0f}")
    out.print(products)
    turns = "in turn with ours" if result["in_turn"] else "before ours, since two copies do not fit"
    out.print(
        f"Memory: a copy moves {ceilings['copy_gbs']:.1f} GB/s (read and written bytes), a sum reads "
        f"{ceilings['read_gbs']:.1f} GB/s; the better one is the bound. {'. '.join(result['formulas'])}. "
        f"transformers: the prompt in one go, then its DynamicCache, {turns}; medians of {result['repeats']}. A "
        f"product timed before, between and after: {_list(result['drift_gflops'])} GFLOP/s.",
        soft_wrap=True,
    )


def print_readers(result: Mapping[str, Any]) -> None:
    """Print the table of ``kvproxy bench readers``."""
    out = console()
    document = result["document_tokens"]
    table = Table(
        "readers",
        "wall",
        "of the first row",
        "one after another",
        "tokens/s",
        "last TTFT",
        "prompt tokens computed",
        "pages more",
        "per reader",
        "RSS more",
        title=f"{_title(result)}: one document of {document:,} tokens",
    )
    for row in result["readers"]:
        table.add_row(*_reader_cells(row, f"{row['of_first']:.2f}", _time(row["one_after_another_s"])))
    table.add_section()
    table.add_row(*_reader_cells(result["cold"], "-", "-", suffix=" cold"))
    out.print(table)
    ttft = result["ttft"]
    out.print(
        f"Each reader asks {result['question_tokens']} tokens of its own and gets {result['new_tokens']} greedy ones, "
        f"{'with' if result['drafts'] else 'without'} drafts; the document is {result['document_pages']} pages of "
        f"{result['page_bytes'] / 1e6:.1f} MB. cold: nobody has read it before. Medians of "
        f"{result['repeats']}; pages and memory are the most that was seen.\n"
        f"First use of the memory by {result['readers'][-1]['readers']} readers: RSS grew by "
        f"{result['first_use_rss_bytes'] / 1e6:.1f} MB.\n"
        f"Time to the first token behind the document {_time(ttft['warm_s'])}, of the same question alone "
        f"{_time(ttft['question_alone_s'])}: {ttft['ratio']:.2f} times.",
        soft_wrap=True,
    )


def print_paper(result: Mapping[str, Any]) -> None:
    """Print the tables of ``kvproxy bench paper``."""
    out = console()
    paper = result["paper"]
    cost = Table(
        "tokens",
        "prefill",
        "publish",
        "from disk",
        "resident",
        "ratio, disk",
        "ratio, resident",
        "paper's",
        "break-even reads",
        "greedy equal",
        "largest logit difference",
        title=f"{_title(result)}: what a read costs",
    )
    for row in result["sizes"]:
        published = paper["ratio"].get(str(row["tokens"]))
        reads = row["break_even_reads"]
        cost.add_row(
            f"{row['tokens']:,}",
            _time(row["prefill_s"]),
            _time(row["publish_s"]),
            _time(row["from_disk_s"]),
            _time(row["resident_s"]),
            f"{row['ratio_disk']:.1f}x",
            f"{row['ratio_resident']:.1f}x",
            "-" if published is None else f"{published:g}x",
            "never" if reads is None else f"{reads:.2f}",
            f"{row['equal_greedy']}/{row['greedy_tokens']}",
            f"{_difference(row['largest_difference'])} at {row['positions']:,}",
        )
    out.print(cost)
    if result["left_out"]:
        out.print(f"Too long for the model: {_list(result['left_out'])} tokens.")
    out.print(_paper_sizes(result))
    prices = result["prices"]
    out.print(
        "A reader's prompt is the document: its last token is computed, all before it comes from pages (from disk: "
        "files that the system has in memory). Logits are compared at every position behind three reuse boundaries. "
        f"lossless: zlib over byte planes; int8: one scale per head and page. ${prices['input_per_million']:g} a "
        f"million input tokens, ${prices['egress_per_gb']:g} a GB of egress. The paper: {paper['source']}; difference "
        f"up to {paper['largest_difference']}, {paper['equal_greedy']}/24 greedy tokens. Random weights' KV says "
        f"nothing about how small real KV gets; medians of {result['repeats']}.",
        soft_wrap=True,
    )


def _paper_sizes(result: Mapping[str, Any]) -> Table:
    paper = result["paper"]
    table = Table(
        "tokens",
        "KV MB",
        "MB per token",
        "lossless",
        "int8",
        "int8 greedy equal",
        "int8 logit difference",
        "egress",
        "prefill",
        "egress/prefill",
        title="What shipping it would cost",
    )
    for row in result["sizes"]:
        table.add_row(
            f"{row['tokens']:,}",
            f"{row['kv_mb']:,.1f}",
            f"{row['mb_per_token']:.4f}",
            f"{row['lossless_of_plain']:.1%}",
            f"{row['int8_of_plain']:.1%}",
            f"{row['int8_equal_greedy']}/{row['greedy_tokens']}",
            f"{row['int8_largest_difference']:.3g}",
            f"${row['egress_usd']:.5f}",
            f"${row['prefill_usd']:.5f}",
            f"{row['egress_of_prefill']:.2f}x",
        )
    table.add_section()
    table.add_row(
        "the paper", "", f"{paper['mb_per_token']}", "", "", "", "", "", "", f"{paper['egress_ratio']}x"
    )
    return table


def _reader_cells(row: Mapping[str, Any], of_first: str, serial: str, suffix: str = "") -> tuple[str, ...]:
    return (
        f"{row['readers']}{suffix}",
        _time(row["wall_s"]),
        of_first,
        serial,
        f"{row['tokens_per_s']:,.1f}",
        _time(row["last_ttft_s"]),
        f"{row['computed_tokens']:,}",
        f"{row['pages']}",
        f"{row['pages_per_reader']:.2f}",
        f"{row['rss_bytes'] / 1e6:,.1f} MB",
    )


def _title(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    return f"{result['model']}, {result['dtype']}, {machine['cpu']}, {machine['threads']} threads"


def _time(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds >= 1 else f"{seconds * 1e3:.2f} ms"


def _difference(value: float) -> str:
    return "0.0" if value == 0 else f"{value:.6g}"


def _list(values: list[float]) -> str:
    return ", ".join(f"{v:,.0f}" for v in values)
