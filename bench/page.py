"""The report as one HTML page: no script, nothing from elsewhere, light and dark."""

import html

from bench import charts, report as reports, rows
from bench.tunnelpart import TITLES

STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1c2128; --dim: #59636e; --line: #d1d9e0; --us: #2563b0;
  --other: #b4bdc7; --good: #1a7f37; --bad: #c0262d; --band: #2563b026; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --ink: #e2e8ee; --dim: #98a4b0; --line: #363e48;
  --us: #5b9cf0; --other: #56616e; --good: #4cc26a; --bad: #f5757a; --band: #5b9cf033; } }
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .7rem .25rem 0; text-align: left; white-space: nowrap; }
th { color: var(--dim); font-weight: 600; } .dim { color: var(--dim); }
.held, .faster { color: var(--good); } .missed, .slower { color: var(--bad); font-weight: 600; }
svg { display: block; max-width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .us { fill: var(--us); } svg .other { fill: var(--other); } svg .dot { fill: var(--ink); opacity: .55; }
svg .sample { fill: var(--us); opacity: .3; } svg .interval { fill: var(--band); }
svg .median, svg .line { stroke: var(--us); stroke-width: 2; fill: none; }
svg .whisker { stroke: var(--dim); stroke-width: 1.5; fill: none; } svg circle.no-difference { fill: var(--dim); }
svg circle.slower, svg path.slower { fill: var(--bad); stroke: var(--bad); }
svg circle.faster, svg path.faster { fill: var(--good); stroke: var(--good); }
"""


def cell(content, kind="td", css=None):
    return charts.tag(kind, content, class_=css)


def table(head, body):
    """body: rows of HTML, or of (HTML, class)."""
    lines = ["<tr>" + "".join(charts.tag("th", html.escape(word), scope="col") for word in head) + "</tr>"]
    for row in body:
        lines.append("<tr>" + "".join(cell(*one) if isinstance(one, str) else cell(one[0], "td", one[1])
                                      for one in map(as_cell, row)) + "</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def as_cell(one):
    return one if isinstance(one, tuple) else (one, None)


def escaped(row):
    return [html.escape(str(one)) for one in row]


def judgements(report):
    if not report.judgements:
        return ""
    body = [((one.verdict, one.verdict.split(",")[0]),
             *escaped((one.kind, TITLES.get(one.title, one.title), one.wanted, one.found))) for one in report.judgements]
    return "<h2>Promises and marks</h2>" + table(("verdict", "", "row", "wanted", "found"), body)


def comparison(report):
    if report.base is None:
        return ""
    lines = reports.comparison_lines(report)
    head = "".join(f"<p>{html.escape(line)}</p>" for line in lines[2:4])
    body = [(*escaped((one.row.name, rows.text(one.base, one.row.unit), rows.text(one.new, one.row.unit),
                       f"{one.adjusted_p:.2g}")), (one.verdict, one.verdict.replace(" ", "-")))
            for one in report.compared]
    chart = charts.forest("Change of each row", report.compared, report.threshold) if report.compared else ""
    return f"<h2>Comparison</h2>{head}{chart}" + table(("row", "base", "new", "p", "verdict"), body)


def tunnel(report):
    names = [name for name in TITLES if any(name in found for found in report.found.values())]
    if not names:
        return ""
    parts = ["<h2>Tunnel</h2><p class=dim>Bars are medians of interleaved rounds, lines their 95 % intervals, dots the "
             "rounds.</p>"]
    for name in names:
        entries = [(subject, found[name]) for subject, found in report.found.items() if name in found]
        unit = entries[0][1].row.unit
        way = "more is better" if entries[0][1].row.better == "higher" else "less is better"
        parts.append(f"<h3>{html.escape(TITLES[name])} <span class=dim>({way})</span></h3>")
        parts.append(charts.bars(TITLES[name], entries, lambda value, unit=unit: rows.text(value, unit)))
    return "".join(parts)


def past(report, name):
    """This row in earlier runs on this machine, oldest first."""
    points = []
    for run in report.history:
        if name in run["rows"]:
            middle, low, high = run["rows"][name]
            points.append((f"{run['commit']}{'+' if run['dirty'] else ''} {run['when'][:10]}: {digits(middle)}",
                           middle, low, high))
    return points[-30:]


def digits(value):
    return f"{value:.4g}"


def part(report, name):
    found = report.rows_of(name)
    if not found:
        return ""
    body = []
    for series in found:
        row, middle, interval, rate, count, outliers = map(html.escape, reports.series_cells(series))
        body.append((row, middle, interval, rate, charts.strip(f"samples of {series.row.name}", series),
                     charts.history(f"history of {series.row.name}", past(report, series.row.name)), count, outliers))
    head = ("row", "median", "95 % interval", "rate", "distribution", "history", "runs × samples", "outliers")
    return f"<h2>{name.capitalize()}</h2>" + table(head, body)


def tunnel_history(report):
    body = []
    for series in report.rows_of("tunnel"):
        chart = charts.history(f"history of {series.row.name}", past(report, series.row.name), width=420)
        if chart:
            body.append((html.escape(TITLES[series.row.name]), chart))
    return "<h3>History of CrypRQ's figures</h3>" + table(("row", "over commits"), body) if body else ""


def errors(report):
    lines = reports.error_lines(report)
    return f"<h2>What failed</h2><pre>{html.escape(chr(10).join(lines[2:]))}</pre>" if lines else ""


def page(report):
    title = "Comparison of two builds of CrypRQ" if report.base is not None else "Benchmark of CrypRQ"
    facts = "".join(f"<li>{html.escape(line[2:])}</li>" for line in reports.machine_lines(report) if line)
    parts = [f"<h1>{title}</h1><p class=dim>{report.when}, seed {report.options['seed']}</p><ul>{facts}</ul>",
             comparison(report), judgements(report)]
    if report.base is None:
        for name in report.parts:
            parts.append(tunnel(report) + tunnel_history(report) if name == "tunnel" else part(report, name))
    parts.append(errors(report))
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n")


