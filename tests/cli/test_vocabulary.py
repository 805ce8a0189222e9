#!/usr/bin/env python3
"""Holds the event vocabulary of the code (src/base/event.h), its documentation (docs/events.md) and the places that
log to each other, in both directions. TAP; Python's standard library only.

    tests/cli/test_vocabulary.py
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LEVELS = {"ERROR": "error", "WARN": "warn", "INFO": "info", "DEBUG": "debug"}
RESERVED = {"time", "level", "event", "truncated"}


def read_code(text):
    """{name: (symbol, level, [fields], meaning)} of CQ_EVENT_LIST."""
    body = text[text.index("#define CQ_EVENT_LIST"):text.index("enum cq_event {")].replace("\\\n", " ")
    string = r'"((?:[^"\\]|\\.)*)"'
    entries = re.findall(rf"X\((\w+),\s*{string},\s*(\w+),\s*{string},\s*{string}\)", body)
    assert len(entries) == len(re.findall(r"\bX\([A-Z]", body)), "an entry that this test cannot read"
    return {name: (symbol, LEVELS[level], fields.split(), meaning)
            for symbol, name, level, fields, meaning in entries}


def rows(text, heading, columns):
    """The cells of the table below a heading."""
    section = text[text.index(f"\n{heading}\n"):]
    section = section.split("\n## ")[1]
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines()
             if line.startswith("| ")]
    assert all(len(row) == columns for row in found), f"{heading}: a row without {columns} cells"
    return found[2:]


def read_document(text):
    """({name: (level, [fields], meaning)}, {field})."""
    events = {name.strip("`"): (level, fields.split(), meaning)
              for level, name, fields, meaning in rows(text, "## Events", 4)}
    return events, [name.strip("`") for name, _ in rows(text, "## Fields", 2)]


def compare(code, document, documented_fields):
    """What the document and the code do not say alike."""
    problems = [f"{name}: in the code alone" for name in code.keys() - document.keys()]
    problems += [f"{name}: in the document alone" for name in document.keys() - code.keys()]
    for name in code.keys() & document.keys():
        if code[name][1:] != document[name]:
            problems.append(f"{name}: the code says {code[name][1:]}, the document {document[name]}")
    used = {field for entry in code.values() for field in entry[2]}
    problems += [f"field {field}: in the code alone" for field in used - set(documented_fields)]
    problems += [f"field {field}: in the document alone" for field in set(documented_fields) - used]
    problems += [f"field {field}: a name that every line has" for field in used & RESERVED]
    if len(documented_fields) != len(set(documented_fields)):
        problems.append("a field is documented twice")
    return problems


def call_text(text, at):
    """From an opening parenthesis to the one that closes it."""
    depth = 0
    for i in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return text[at:i + 1]
    raise ValueError("no end")


FIELD = re.compile(r'cq_field_\w+\(\s*"(\w+)"|cq_label_(peer|name)\(')
VARIABLE = re.compile(r'(\w+) = (?:cq_field_\w+\(\s*"(\w+)"|cq_label_(peer|name)\()')


def fields_of(text, variables):
    found = {a or b for a, b in FIELD.findall(text)}
    return found | {variables[word] for word in re.findall(r"[(,\s](\w+)(?=[,)])", text) if word in variables}


def read_calls(sources):
    """{symbol: set of fields} of all places that log."""
    calls = {}
    for text in sources:
        variables = {name: a or b for name, a, b in VARIABLE.findall(text)}
        for match in re.finditer(r"\bcq_log\(", text):
            call = call_text(text, match.end() - 1)
            symbols = re.findall(r"\(\s*CQ_EVENT_(\w+)", call)
            if not symbols:     # cq_log(e->event, ...): the labels of its branch say which
                labels = re.search(r"((?:\s*case CQ_EVENT_\w+:(?:\s*default:[^\n]*)?)+)\s*$", text[:match.start()])
                symbols = re.findall(r"case CQ_EVENT_(\w+):", labels.group(1)) if labels else []
            for symbol in symbols:
                calls.setdefault(symbol, set()).update(fields_of(call, variables))
        for match in re.finditer(r"struct cq_field fields\[\] = (\{.*?\n    \});\s.*?CQ_EVENT_(\w+)", text, re.DOTALL):
            calls.setdefault(match.group(2), set()).update(fields_of(match.group(1), {}))
    return calls


def compare_calls(code, calls):
    problems = []
    for name, (symbol, _, fields, _) in code.items():
        if symbol not in calls:
            problems.append(f"{name}: nobody logs it")
            continue
        problems += [f"{name}: {field} is logged, the vocabulary does not know it"
                     for field in calls[symbol] - set(fields)]
        problems += [f"{name}: nobody logs {field}" for field in set(fields) - calls[symbol]]
    return problems


def main():
    code_text = (ROOT / "src/base/event.h").read_text()
    document_text = (ROOT / "docs/events.md").read_text()
    sources = [path.read_text() for path in sorted((ROOT / "src").rglob("*.c"))]
    code = read_code(code_text)
    document = read_document(document_text)
    calls = read_calls(sources)
    changed = {
        "an event less": document_text.replace("| info | `ready`", "| info | `readi`"),
        "a field less": document_text.replace(" duration_ms suite", " suite", 1),
        "another level": document_text.replace("| info | `ready`", "| warn | `ready`"),
        "a field that nobody has": document_text.replace("| `mtu` |", "| `mtu2` |"),
    }
    results = [
        ("docs/events.md and the code say the same", compare(code, *document)),
        ("what is logged is what the vocabulary says", compare_calls(code, calls)),
        ("a difference is noticed", [what for what, text in changed.items()
                                     if text == document_text or not compare(code, *read_document(text))]),
        ("a stray field is noticed",
         [] if compare_calls(code, {**calls, "READY": calls["READY"] | {"x"}}) and
         compare_calls(code, {**calls, "READY": calls["READY"] - {"mtu"}}) else ["it is not"]),
    ]
    for number, (title, problems) in enumerate(results, 1):
        print(f"{'not ok' if problems else 'ok'} {number} - {title}")
        for problem in problems:
            print(f"# {problem}")
    print(f"1..{len(results)}")
    return 1 if any(problems for _, problems in results) else 0


if __name__ == "__main__":
    sys.exit(main())
