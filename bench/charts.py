"""Small charts as SVG, drawn here so that a report needs nothing from elsewhere. Colours are the page's variables."""

import html
import math

from bench import stats

WIDTH, LABELS, RIGHT = 720, 150, 110


def tag(name, content=None, **attributes):
    words = "".join(f' {key.replace("_", "-").rstrip("-")}="{html.escape(str(value))}"'
                    for key, value in attributes.items() if value is not None)
    return f"<{name}{words}/>" if content is None else f"<{name}{words}>{content}</{name}>"


def number(value):
    return f"{value:.1f}"


def svg(width, height, parts, title):
    return tag("svg", tag("title", html.escape(title)) + "".join(parts), viewBox=f"0 0 {width} {height}", width=width,
               height=height, role="img")


class Scale:
    """From values to pixels, with some room at the ends."""

    def __init__(self, values, left, right, zero=False, log=False):
        self.log = log and min(values) > 0
        values = [self.map(value) for value in values] + ([0] if zero and not self.log else [])
        low, high = min(values), max(values)
        room = (high - low) * 0.04 or abs(high) * 0.05 or 1
        self.low, self.high = (low if zero else low - room), high + room
        self.left, self.right = left, right

    def map(self, value):
        return math.log10(value) if self.log else value

    def __call__(self, value):
        share = (self.map(value) - self.low) / (self.high - self.low)
        return self.left + share * (self.right - self.left)


def bars(title, entries, text):
    """One bar for each (name, series): median, interval as a whisker, and a dot for every round."""
    height, top = 26, 6
    scale = Scale([value for _, series in entries for value in series.values], LABELS, WIDTH - RIGHT, zero=True)
    parts = []
    for i, (name, series) in enumerate(entries):
        y = top + i * height
        middle, interval = series.median, series.interval
        parts.append(tag("text", html.escape(name), x=LABELS - 8, y=y + 16, text_anchor="end"))
        parts.append(tag("rect", x=LABELS, y=y + 3, width=number(max(0.5, scale(middle) - LABELS)), height=height - 8,
                         class_="us" if name == "cryprq" else "other"))
        parts.append(tag("path", d=f"M{number(scale(interval.low))} {y + 12}H{number(scale(interval.high))}",
                         class_="whisker"))
        parts += [tag("circle", cx=number(scale(value)), cy=y + 12, r=2, class_="dot") for value in series.values]
        parts.append(tag("text", html.escape(text(middle)), x=number(min(scale(max(series.values)), WIDTH - RIGHT) + 8),
                         y=y + 16))
    return svg(WIDTH, top * 2 + height * len(entries), parts, title)


def strip(title, series, width=300, height=34):
    """Every sample as a faint dot, runs one above the other; the median with its interval."""
    samples = [value for run in series.runs for value in run]
    low, high = stats.quantile(samples, 0.005), stats.quantile(samples, 0.995)
    scale = Scale([low, high], 4, width - 4)
    parts = []
    for i, run in enumerate(series.runs):
        y = 4 + (height - 8) * (i + 0.5) / len(series.runs)
        parts += [tag("circle", cx=number(scale(min(max(value, low), high))), cy=number(y), r=1.4, class_="sample")
                  for value in thinned(run, 40)]
    interval = series.interval
    x, wide = scale(max(interval.low, low)), scale(min(interval.high, high)) - scale(max(interval.low, low))
    parts.append(tag("rect", x=number(x), y=1, width=number(max(wide, 1)), height=height - 2, class_="interval"))
    middle = number(scale(min(max(series.median, low), high)))
    parts.append(tag("path", d=f"M{middle} 0V{height}", class_="median"))
    return svg(width, height, parts, title)


def thinned(values, most):
    """Not more than so many, spread over the order of size, the ends among them."""
    ordered = sorted(values)
    if len(ordered) <= most:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (most - 1))] for i in range(most)]


def history(title, points, width=220, height=34):
    """A line through [(label, median, low, high)], oldest first, with the band of the intervals."""
    if len(points) < 2:
        return ""
    scale = Scale([value for point in points for value in point[1:]], height - 4, 4)
    xs = [4 + i * (width - 8) / (len(points) - 1) for i in range(len(points))]
    upper = " ".join(f"{number(x)},{number(scale(point[3]))}" for x, point in zip(xs, points))
    lower = " ".join(f"{number(x)},{number(scale(point[2]))}" for x, point in reversed(list(zip(xs, points))))
    line = " ".join(f"{number(x)},{number(scale(point[1]))}" for x, point in zip(xs, points))
    parts = [tag("polygon", points=f"{upper} {lower}", class_="interval"),
             tag("polyline", points=line, class_="line")]
    parts += [tag("circle", tag("title", html.escape(point[0])), cx=number(x), cy=number(scale(point[1])), r=2.5,
                  class_="dot") for x, point in zip(xs, points)]
    return svg(width, height, parts, title)


def forest(title, compared, threshold):
    """The change of each row with its interval, against the band of what is too small to be called one."""
    height, top, right = 20, 22, WIDTH - 130
    finite = [one for one in compared if one.change.ratio not in (0, math.inf)]
    ends = [value for one in finite for value in (one.change.low, one.change.high) if 0 < value < math.inf]
    scale = Scale([*ends, 1 / (1 + 2 * threshold), 1 + 2 * threshold], 300, right, log=True)
    bottom = top + height * len(finite)
    band = scale(1 + threshold) - scale(1 - threshold)
    parts = [tag("rect", x=number(scale(1 - threshold)), y=top - 4, width=number(band), height=bottom - top + 8,
                 class_="interval"),
             tag("path", d=f"M{number(scale(1))} {top - 6}V{bottom + 4}", class_="whisker"),
             tag("text", "less", x=300, y=12), tag("text", "more", x=right, y=12, text_anchor="end")]
    for i, one in enumerate(finite):
        y = top + i * height
        low, high = (min(max(value, ends and min(ends) or 1), ends and max(ends) or 1)
                     for value in (one.change.low, one.change.high))
        kind = one.verdict.replace(" ", "-")
        parts.append(tag("text", html.escape(one.row.name), x=292, y=y + 14, text_anchor="end"))
        parts.append(tag("path", d=f"M{number(scale(low))} {y + 10}H{number(scale(high))}", class_=f"whisker {kind}"))
        parts.append(tag("circle", cx=number(scale(one.change.ratio)), cy=y + 10, r=4, class_=kind))
        parts.append(tag("text", f"{(one.change.ratio - 1) * 100:+.1f} %", x=right + 10, y=y + 14))
    return svg(WIDTH, bottom + 8, parts, title)
