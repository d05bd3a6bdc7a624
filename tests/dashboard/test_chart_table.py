from __future__ import annotations

from html.parser import HTMLParser

import pytest

from kvproxy.dashboard.chart_table import ChartCell, ChartSeries, ChartTable, chart_rows
from kvproxy.dashboard.shown_values import count, seconds
from kvproxy.dashboard.template_rendering import dashboard_files

SERIES = (ChartSeries("Hits", 1, seconds), ChartSeries("Misses <b>", 2, seconds, dashed=True))


class Cells(HTMLParser):
    """The attributes of the cells that kvproxy.js draws from."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("td", "th"):
            self.found.append({name: value for name, value in attrs if name.startswith("data-")})


def test_each_value_is_written_by_its_series() -> None:
    rows = chart_rows((ChartSeries("a", 1, count), SERIES[0]), [(60, (1234, 0.5)), (120, (None, None))])
    assert rows[0].cells == (ChartCell(1234, "1,234"), ChartCell(0.5, "500 ms"))
    assert [cell.value for cell in rows[1].cells] == [None, None] and rows[1].at == 120
    with pytest.raises(ValueError):
        chart_rows(SERIES, [(60, (1,))])


def test_the_table_holds_all_that_the_chart_is_drawn_from() -> None:
    chart = ChartTable("TTFT", "lines", "seconds", SERIES, chart_rows(SERIES, [(60, (0.25, None))]))
    html = dashboard_files().render("fragments/overview_charts.html", {"charts": [chart]})
    cells = Cells()
    cells.feed(html)
    assert cells.found == [
        *({}, {"data-colour": "1"}, {"data-colour": "2", "data-dash": "yes"}),
        *({"data-at": "60"}, {"data-value": "0.25"}, {"data-value": ""}),
    ]
    assert "Misses &lt;b&gt;" in html and 'data-chart="lines" data-unit="seconds"' in html
