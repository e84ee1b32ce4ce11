"""The report: one page a run, made for a person to read, from what the notebooks wrote."""

import csv
import html
import math
import re
from pathlib import Path
from urllib.parse import quote

from hmdlib import study
from hmdlib.batch import minutes

LONGEST_TABLE = 30
"""Rows of a csv that the page shows; the file itself is linked."""

SCORES = ("ssim", "psnr", "lpips", "gmsd", "sharpness")
"""Columns of scores: where one is empty, it was not available."""

NOT_SHOWN = ("history.csv",)


def write(results, record):
    """Write results/<profile>/index.html from run.json's record; returns the path."""
    results = Path(results)
    people = [record, *record.get("other_subjects", {}).values()]
    parts = [person_section(results, person, first=person is record) for person in people]
    title = f"Headset de-occlusion: profile {record['profile']}"
    page = PAGE.format(title=escape(title), style=STYLE, body="\n".join(parts))
    path = results / "index.html"
    path.write_text(page)
    return path


def person_section(results, record, first):
    """All that the page says about one subject's run."""
    subject = record["subject"]
    done = [name for name, entry in record["notebooks"].items() if entry["status"] == "finished"]
    seconds = sum(record["notebooks"][name].get("seconds", 0) for name in done)
    about = [
        f"{len(done)} of {len(record['notebooks'])} notebooks finished",
        f"{minutes(seconds)} of work",
        record["hardware"]["gpu"] or f"{record['hardware']['cores']} cores, no GPU",
        f"started {record['started'][:16].replace('T', ' ')}",
    ]
    heading = f"Headset de-occlusion of {subject}" if first else f"Also here: {subject}"
    places = {name: results / subject / name for name in record["notebooks"]}
    cards = [
        notebook_section(results, places[name], entry)
        for name, entry in record["notebooks"].items()
        if entry["status"] != "not run"
    ]
    return "\n".join(
        [
            f"<header><h1>{escape(heading)}</h1><p class=quiet>{escape(' · '.join(about))}</p>",
            verdict(places.values()),
            contents(record["notebooks"], subject),
            "</header>",
            *cards,
            provenance_section(record),
        ]
    )


def verdict(places):
    """The numbers at the top: the paper's model against the baseline, from 07's table_1.csv."""
    tables = [place / "table_1.csv" for place in places if (place / "table_1.csv").exists()]
    if not tables:
        return "<p class=quiet>No comparison yet: notebook 07 writes it.</p>"
    rows = {}
    for row in read_csv(tables[-1]):
        for method in ("paper", "baseline"):
            if row["method"] == method:
                rows.setdefault((method, row["output"], row["region"]), row)
    boxes = [
        verdict_box("PSNR over the frame", rows, "raw", "frame", "psnr", " dB", 1),
        verdict_box("PSNR under the headset", rows, "raw", "hidden", "psnr", " dB", 1),
        verdict_box("SSIM over the frame", rows, "raw", "frame", "ssim", "", 3),
        verdict_box("LPIPS over the frame", rows, "raw", "frame", "lpips", "", 3),
        verdict_box("PSNR, pasted back", rows, "composite", "frame", "psnr", " dB", 1),
    ]
    note = "<p class=quiet>On the session that no training has seen: the paper's model against the"
    note += " baseline without attention."
    note += " LPIPS: less is better.</p>" if boxes[3] else "</p>"
    return f"<div class=boxes>{''.join(boxes)}</div>{note}"


def verdict_box(label, rows, output, region, column, unit, digits):
    """One number with its baseline, or nothing where the table does not have it."""
    try:
        paper, base = (
            float(rows[method, output, region][column]) for method in ("paper", "baseline")
        )
    except (KeyError, ValueError):
        return ""
    if paper != paper:
        return ""
    better = (paper < base) if column == "lpips" else (paper > base)
    return (
        f"<div class=box><small>{escape(label)}</small><b>{paper:.{digits}f}{unit}</b>"
        f"<small class={'good' if better else 'bad'}>{paper - base:+.{digits}f}{unit} against"
        f" {base:.{digits}f}</small></div>"
    )


def contents(notebooks, subject):
    """The list of notebooks with their state, each linked to its part of the page."""
    rows = []
    for name, entry in notebooks.items():
        label = escape(name)
        if entry["status"] != "not run":
            label = f"<a href='#{escape(subject)}-{label}'>{label}</a>"
        peak = f"{entry['peak_mib']} MiB" if "peak_mib" in entry else ""
        time = minutes(entry["seconds"]) if "seconds" in entry else ""
        rows.append([label, state(entry), time, peak])
    return table(["notebook", "state", "time", "peak memory"], rows, raw=True)


def state(entry):
    word = {"finished": "finished", "running": "stopped", "not run": "not run yet"}[entry["status"]]
    if entry["status"] == "running" and not entry.get("error"):
        word = "running"
    return f"<span class={word.split()[0]}>{word}</span>"


def notebook_section(results, place, entry):
    """One notebook: question, numbers, figures, tables, links."""
    title, question = title_and_question(place)
    subject = place.parent.name
    parts = [f"<section id='{escape(subject)}-{escape(place.name)}'>"]
    if "seconds" in entry:
        cost = f"{minutes(entry['seconds'])}, {entry['peak_mib']} MiB at most"
        parts.append(f"<p class='quiet cost'>{cost}</p>")
    parts.append(f"<h2>{escape(title)}</h2>")
    if question:
        parts.append(f"<p class=question>{escape(question)}</p>")
    if entry.get("error"):
        parts.append(f"<p class=error>{escape(entry['error'])}</p>")
    shown = [figure(results, path) for path in sorted(place.glob("*.png"))]
    parts.append(f"<div class=figures>{''.join(shown)}</div>" if shown else "")
    parts += [csv_table(path) for path in sorted(place.glob("*.csv"))]
    numbers = flat({name: value for name, value in entry["metrics"].items() if name != "reads"})
    if numbers:
        rows = [[escape(name.replace("_", " ")), nice(value)] for name, value in numbers]
        parts.append(f"<details {'open' if len(rows) <= 12 else ''}><summary>Numbers</summary>")
        parts.append(table(["", ""], rows, raw=True) + "</details>")
    return "\n".join([*parts, links(results, place), "</section>"])


def title_and_question(place):
    """The first heading of the executed notebook and the question below it."""
    page = study.read_json(place / f"{place.name}.ipynb")
    page = page or study.read_json(place / f"{place.name}.partial.ipynb")
    prose = [
        "".join(cell["source"]) for cell in page.get("cells", []) if cell["cell_type"] == "markdown"
    ]
    prose = [text for text in prose if not text.startswith("<span")]  # papermill's error marks
    text = "\n".join(prose[:2])
    heading = re.search(r"(?m)^# +(.+)$", text)
    lines = [line for line in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*$", "", text)) if line.strip()]
    asked = [line for line in lines if "?" in line] or lines
    question = asked[0] if asked else ""
    return plain(heading.group(1) if heading else place.name), plain(question)[:400]


def plain(markdown):
    """Markdown's text without stars, links and tags, on one line."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", markdown)
    return " ".join(re.sub(r"[*`]+|<[^>]+>", "", text).split())


def address(results, path):
    """A file's address from index.html, whatever its folders are named."""
    return quote(str(path.relative_to(results)))


def figure(results, path):
    source = address(results, path)
    name = escape(path.stem.replace("_", " "))
    return (
        f"<figure><a href='{source}'><img src='{source}' alt='{name}' loading=lazy></a>"
        f"<figcaption>{name}</figcaption></figure>"
    )


def csv_table(path):
    """A table from a csv, its first rows; nothing for histories."""
    rows = read_csv(path)
    if path.name in NOT_SHOWN or not rows:
        return ""
    shown = [[nice(value) if value or key.split("_")[0] not in SCORES else "not available"
              for key, value in row.items()] for row in rows[:LONGEST_TABLE]]  # fmt: skip
    more = f", the first {LONGEST_TABLE} of {len(rows)} rows" if len(rows) > LONGEST_TABLE else ""
    body = table(list(rows[0]), shown, raw=True)
    title = escape(path.stem.replace("_", " ") + more)
    return f"<details {'open' if not more else ''}><summary>{title}</summary>{body}</details>"


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def links(results, place):
    """The executed notebook to read, and every other file to open: no figure, no array of crops."""
    files = sorted(path for path in place.rglob("*") if path.is_file())
    files = [path for path in files if path.suffix not in (".png", ".npy")]
    files = [path for path in files if not path.name.startswith(("state", "checkpoint"))]
    page = [path for path in files if path.suffix == ".html"]
    rest = [path for path in files if path.suffix != ".html"]
    named = [(path, "Read the executed notebook") for path in page]
    named += [(path, path.relative_to(place)) for path in rest]
    anchors = [f"<a href='{address(results, path)}'>{escape(label)}</a>" for path, label in named]
    return f"<p class=links>{' · '.join(anchors)}</p>"


def provenance_section(record):
    """Commit, machine, parameters, versions, data: folded, for whoever repeats the run."""
    commit = (record["commit"] or "not a git clone") + (" with changes" if record["dirty"] else "")
    machine = [
        [escape(name.replace("_gib", " (GiB)")), escape(value)]
        for name, value in record["hardware"].items()
        if value
    ]
    parameters = [
        [escape(notebook), escape(name), nice(value)]
        for notebook, values in record["parameters"].items()
        for name, value in values.items()
    ]
    data = [[escape(name), f"<code>{value[:16]}</code>"] for name, value in record["data"].items()]
    versions = [[escape(name), escape(str(value))] for name, value in record["versions"].items()]
    return "\n".join(
        [
            "<section><h2>How this was made</h2>",
            f"<p>Commit <code>{escape(commit)}</code>; the whole record is in",
            "<a href='run.json'>run.json</a>.</p>",
            table(["", ""], machine, raw=True),
            "<details><summary>Parameters</summary>",
            table(["notebook", "name", "value"], parameters, raw=True) + "</details>",
            "<details><summary>Versions</summary>",
            table(["package", "version"], versions, raw=True) + "</details>",
            "<details><summary>Videos (sha256)</summary>",
            table(["file", "begins with"], data, raw=True) + "</details></section>",
        ]
    )


def flat(metrics, before=""):
    """Nested metrics as (name, value) pairs: {"a": {"b": 1}} gives ("a b", 1)."""
    pairs = []
    for name, value in metrics.items():
        label = f"{before} {name}".strip()
        pairs += flat(value, label) if isinstance(value, dict) else [(label, value)]
    return pairs


def nice(value):
    """A value to read: four digits, words for null and booleans."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{escape(name)} {nice(entry)}" for name, entry in value.items())
    if isinstance(value, (list, tuple)):
        between = "<br>" if value and isinstance(value[0], dict) else ", "
        return between.join(nice(entry) for entry in value)
    try:
        number = float(value)
    except ValueError:
        return escape(str(value))
    if not math.isfinite(number):
        return escape(str(value))
    if number == int(number) and abs(number) < 1e15 and "." not in str(value):
        return f"{int(number)}"
    return f"{number:.4g}" if abs(number) < 1e4 else f"{number:.0f}"


def table(head, rows, raw=False):
    """An HTML table; columns that hold numbers only stand to the right."""
    rows = rows if raw else [[escape(value) for value in row] for row in rows]
    number = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?$|–$|not available$")
    kinds = [
        " class=n" if rows and all(number.match(row[column]) for row in rows) else ""
        for column in range(len(head))
    ]

    def line(values, tag):
        pairs = zip(values, kinds, strict=True)
        return "<tr>" + "".join(f"<{tag}{kind}>{value}</{tag}>" for value, kind in pairs) + "</tr>"

    top = f"<thead>{line(map(escape, head), 'th')}</thead>" if any(head) else ""
    body = "".join(line(row, "td") for row in rows)
    return f"<div class=wide><table>{top}<tbody>{body}</tbody></table></div>"


def escape(text):
    return html.escape(str(text), quote=True)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><main>
{body}
</main></body></html>
"""

STYLE = (Path(__file__).parent / "report.css").read_text()
