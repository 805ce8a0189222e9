"""A flame graph as one SVG file: zoom by a click, search, light and dark, nothing loaded from anywhere."""

import html

WIDTH, ROW, TOP, BOTTOM, SIDE = 1200, 17, 66, 30, 10
LETTER = 6.7        # of a monospaced font of 11 pixels

# Whose code: the class of a frame. Four shades each, chosen by name, so that neighbours can be told apart.
SHADES = 4
COLOURS = {
    "cryprq": (("#7cc47f", "#8fd191", "#6bb96f", "#9bd89d"), ("#2f6b35", "#38783e", "#285e2e", "#417f46")),
    "libcrypto": (("#f2a65a", "#f5b573", "#ee9947", "#f7c08a"), ("#8a4b12", "#965619", "#7d430e", "#a06122")),
    "libc": (("#d9d27a", "#e2dc90", "#d0c866", "#e8e3a3"), ("#66601a", "#726b22", "#5b5514", "#7c752b")),
    "kernel": (("#8db4e2", "#9fc1e9", "#7ea9dc", "#afcdee"), ("#2c4f7c", "#345a8a", "#26466f", "#3d6596")),
    "other": (("#c9c9c9", "#d3d3d3", "#bfbfbf", "#dddddd"), ("#4a4a4a", "#545454", "#414141", "#5e5e5e")),
    "task": (("#d8c4ea",) * SHADES, ("#4d3a63",) * SHADES),
}

SCRIPT = """
(function () {
  "use strict";
  var WIDTH = @INNER@, SIDE = @SIDE@, LETTER = @LETTER@;
  var svg = document.documentElement, all = [], whole, shown, term = "";
  var detail = document.getElementById("detail"), hits = document.getElementById("hits");
  var reset = document.getElementById("reset"), field = document.getElementById("field");
  function read() {
    document.querySelectorAll("g.f").forEach(function (g) {
      var part = g.getAttribute("data-at").split(" ").map(Number);
      all.push({g: g, rect: g.querySelector("rect"), text: g.querySelector("text"),
                name: g.querySelector("title").textContent, x: part[0], w: part[1], depth: part[2]});
    });
    whole = {x: 0, w: all[0].w, depth: 0};
    shown = whole;
  }
  function label(f, width) {
    var room = Math.floor((width - 6) / LETTER), name = f.name.replace(/ \\([^(]*\\)$/, "");
    f.text.textContent = room < 3 ? "" : name.length <= room ? name : name.slice(0, room - 2) + "..";
  }
  function place(f) {
    var left = Math.max(f.x, shown.x), right = Math.min(f.x + f.w, shown.x + shown.w);
    var width = (right - left) / shown.w * WIDTH, x = SIDE + (left - shown.x) / shown.w * WIDTH;
    if (right <= left || width < 0.1) {
      f.g.style.display = "none";
      return;
    }
    f.g.style.display = "";
    f.g.classList.toggle("under", f.depth < shown.depth);
    f.rect.setAttribute("x", x);
    f.rect.setAttribute("width", width);
    f.text.setAttribute("x", x + 3);
    label(f, width);
  }
  function zoom(f) {
    shown = f;
    all.forEach(place);
    reset.style.display = f === whole || f.w === whole.w ? "none" : "";
    mark();
  }
  function matches(f, wanted) {
    return wanted !== "" && f.name.toLowerCase().indexOf(wanted) >= 0;
  }
  // What share of the part that is shown lies in matching frames; nested ones count once.
  function mark() {
    var wanted = term.toLowerCase(), sum = 0, end = -1;
    all.forEach(function (f) { f.g.classList.toggle("hit", matches(f, wanted)); });
    all.filter(function (f) { return matches(f, wanted); })
      .sort(function (a, b) { return a.x - b.x || b.w - a.w; })
      .forEach(function (f) {
        var left = Math.max(f.x, shown.x, end), right = Math.min(f.x + f.w, shown.x + shown.w);
        if (right > left) { sum += right - left; end = right; }
      });
    hits.textContent = wanted === "" ? "" : (sum / shown.w * 100).toFixed(2) + " % in matching functions";
  }
  function search(text) {
    term = text;
    mark();
  }
  read();
  svg.addEventListener("click", function (event) {
    var g = event.target.closest && event.target.closest("g.f");
    if (g) { zoom(all.find(function (f) { return f.g === g; })); }
  });
  svg.addEventListener("mouseover", function (event) {
    var g = event.target.closest && event.target.closest("g.f");
    detail.textContent = g ? g.querySelector("title").textContent : "";
  });
  reset.addEventListener("click", function () { zoom(whole); });
  field.addEventListener("input", function () { search(field.value); });
  window.addEventListener("keydown", function (event) {
    if (event.key === "Escape") { field.value = ""; search(""); zoom(whole); field.blur(); }
    if (event.key === "/" && document.activeElement !== field) { event.preventDefault(); field.focus(); }
  });
  document.getElementById("controls").style.display = "";
  reset.style.display = "none";
}());
"""


class Node:
    """A frame of the graph: a function below the same callers."""

    __slots__ = ("name", "kind", "count", "children")

    def __init__(self, name, kind):
        self.name, self.kind, self.count, self.children = name, kind, 0, {}


def grow(folded):
    """The tree of all stacks."""
    root = Node("all", "task")
    for stack, count in folded.items():
        root.count += count
        node = root
        for frame in stack:
            node = node.children.setdefault(frame, Node(*frame))
            node.count += count
    return root


def flatten(node, least, x=0, depth=0):
    """(node, first sample, depth) of the frames with at least `least` samples, callers before what they call."""
    yield node, x, depth
    for key in sorted(node.children):
        child = node.children[key]
        if child.count >= least:
            yield from flatten(child, least, x, depth + 1)
        x += child.count


def shade(name):
    return sum(name.encode()) % SHADES


def style():
    light, dark = [], []
    for kind, (by_day, by_night) in COLOURS.items():
        light += [f".{kind}{i}{{fill:{colour}}}" for i, colour in enumerate(by_day) if kind != "task" or i == 0]
        dark += [f".{kind}{i}{{fill:{colour}}}" for i, colour in enumerate(by_night) if kind != "task" or i == 0]
    return (
        "svg{background:#fff}text{font:11px monospace;fill:#111;pointer-events:none}.t{font-size:15px;font-weight:bold}"
        ".m{fill:#555}.f{cursor:pointer}.f:hover rect{stroke:#000;stroke-width:1}.under{opacity:.5}"
        ".hit rect{fill:#e5399b}#reset text{pointer-events:auto;cursor:pointer;text-decoration:underline}"
        "input{font:12px monospace;width:100%;box-sizing:border-box;padding:2px 6px;border:1px solid #888;"
        "border-radius:4px;background:#fff;color:#111}" + "".join(light) +
        "@media(prefers-color-scheme:dark){svg{background:#16181c}text{fill:#e8e8e8}.m{fill:#a5a5a5}"
        ".f:hover rect{stroke:#fff}.hit rect{fill:#b3206f}input{background:#22252b;color:#eee;border-color:#666}" +
        "".join(dark) + "}")


def frame(node, x, depth, total, height):
    inner = WIDTH - 2 * SIDE
    left, width = SIDE + x / total * inner, node.count / total * inner
    top = height - BOTTOM - (depth + 1) * ROW
    room = int((width - 6) / LETTER)
    label = "" if room < 3 else node.name if len(node.name) <= room else node.name[:room - 2] + ".."
    title = f"{node.name} ({node.count} samples, {node.count / total * 100:.2f} %)"
    kind = "task0" if node.kind == "task" else f"{node.kind}{shade(node.name)}"
    return (f'<g class="f" data-at="{x} {node.count} {depth}"><title>{html.escape(title)}</title>'
            f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{max(width, 0.1):.1f}" height="{ROW - 1}" rx="2"/>'
            f'<text x="{left + 3:.1f}" y="{top + 12}">{html.escape(label)}</text></g>')


def legend(kinds):
    parts, x = [], SIDE
    for kind in COLOURS:
        if kind in kinds and kind != "task":
            parts.append(f'<rect class="{kind}0" x="{x}" y="46" width="12" height="12" rx="2"/>'
                         f'<text x="{x + 16}" y="56">{kind}</text>')
            x += 30 + len(kind) * LETTER
    return "".join(parts)


def render(folded, title, subtitle, least_percent=0.02):
    """The SVG. Frames below least_percent of all samples are left out."""
    root = grow(folded)
    if root.count == 0:
        raise ValueError("no samples")
    frames = list(flatten(root, max(1, root.count * least_percent / 100)))
    height = TOP + (max(depth for _, _, depth in frames) + 1) * ROW + BOTTOM
    script = SCRIPT
    for key, value in (("@INNER@", WIDTH - 2 * SIDE), ("@SIDE@", SIDE), ("@LETTER@", LETTER)):
        script = script.replace(key, str(value))
    kinds = {node.kind for node, _, _ in frames}
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(title)}">',
        f"<style>{style()}</style>",
        f'<text class="t" x="{SIDE}" y="20">{html.escape(title)}</text>',
        f'<text class="m" x="{SIDE}" y="37">{html.escape(subtitle)}</text>',
        legend(kinds),
        f'<g id="controls" style="display:none"><g id="reset"><text x="{WIDTH - 420}" y="21">whole graph</text></g>'
        f'<foreignObject x="{WIDTH - 320}" y="6" width="310" height="26"><input xmlns="http://www.w3.org/1999/xhtml" '
        f'id="field" placeholder="search ( / )" aria-label="search"/></foreignObject></g>',
        f'<text class="m" id="hits" x="{WIDTH - SIDE}" y="56" text-anchor="end"></text>',
        f'<text id="detail" x="{SIDE}" y="{height - 10}"></text>',
        *[frame(node, x, depth, root.count, height) for node, x, depth in frames],
        f"<script><![CDATA[{script}]]></script>",
        "</svg>",
    ]) + "\n"
