"""What a run of the benchmarks found: report.json, report.html and the tables of docs/performance.md."""
import dataclasses
import datetime
import html
import json
import os
import re
import statistics

PLOT_WIDTH, ROW_HEIGHT, LABEL_WIDTH = 860, 18, 240
COLOURS = ["#4269d0", "#d1495b", "#3ca951", "#8f6bb8", "#b8860b", "#5f6b7a"]


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as cpus:
        model = re.search(r"model name\s*: (.*)", cpus.read())
    return f"{model.group(1) if model else 'unknown CPU'}, {os.cpu_count()} processors"


def number(value):
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def verdict(table):
    """One line: the mean, the worst, and whether the machine was too noisy to tell."""
    parts = []
    if table.ratios and len(table.rows) > 1:
        for variant in table.variants[1:]:
            worst = max(table.rows, key=lambda row: table.ratio(row[1], variant))
            parts.append(f"{variant}: geometric mean {table.geometric_mean(variant):.3f}, worst "
                         f"{table.ratio(worst[1], variant):.3f} ({worst[0]})")
    if table.goal:
        parts.append(f"goal: {table.goal}")
    if table.is_too_noisy():
        parts.append(f"TOO NOISY to tell: the same thing measured twice differs by up to "
                     f"{100 * table.noise():.1f} %")
    elif table.noise() is not None:
        parts.append(f"noise {100 * table.noise():.1f} %")
    return "; ".join(parts + table.notes)


def markdown(table):
    ratio_columns = table.variants[1:] if table.ratios else []
    head = [table.title] + [f"{v} ({table.unit})" if table.unit else v for v in table.variants]
    head += [f"{v}, ratio [95 %]" for v in ratio_columns]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for label, samples in table.rows:
        cells = [label]
        cells += [number(table.value(samples[v])) if samples.get(v) else "-" for v in table.variants]
        for variant in ratio_columns:
            if not samples.get(variant) or not samples.get(table.variants[0]):
                cells.append("-")
                continue
            low, high = table.interval(samples, variant)
            cells.append(f"{table.ratio(samples, variant):.3f} [{low:.2f}, {high:.2f}]")
        lines.append("| " + " | ".join(cells) + " |")
    counts = {len(values) for _, samples in table.rows for values in samples.values()}
    lines.append(f"\n{table.summary} of {'/'.join(str(c) for c in sorted(counts))} samples. "
                 f"{verdict(table)}\n")
    return "\n".join(lines)


def plot(table):
    """Every sample as a dot, on one scale, the median as a bar."""
    values = [v for _, samples in table.rows for s in samples.values() for v in s]
    if not values:
        return ""
    top = sorted(values)[int(0.98 * (len(values) - 1))] * 1.1 or 1
    lines, y = [], 0
    for label, samples in table.rows:
        for index, variant in enumerate(table.variants):
            y += ROW_HEIGHT
            colour = COLOURS[index % len(COLOURS)]
            lines.append(f'<text x="0" y="{y}">{html.escape(label)} · {html.escape(variant)}</text>')
            place = lambda v: LABEL_WIDTH + min(v / top, 1) * (PLOT_WIDTH - LABEL_WIDTH - 10)
            for value in samples.get(variant, []):
                lines.append(f'<circle cx="{place(value):.1f}" cy="{y - 4}" r="2.5" fill="{colour}" '
                             f'fill-opacity="0.5"><title>{number(value)} {table.unit}</title></circle>')
            if samples.get(variant):
                x = place(statistics.median(samples[variant]))
                lines.append(f'<path d="M{x:.1f} {y - 11}v14" stroke="{colour}" stroke-width="2"/>')
        y += ROW_HEIGHT // 3
    return (f'<svg width="{PLOT_WIDTH}" height="{y + 20}" font-size="11" font-family="sans-serif">'
            + "".join(lines) + f'<text x="{LABEL_WIDTH}" y="{y + 15}">0</text>'
            f'<text x="{PLOT_WIDTH - 90}" y="{y + 15}">{number(top)} {table.unit}</text></svg>')


@dataclasses.dataclass
class Section:
    """What one benchmark found."""
    name: str
    title: str
    tables: list
    skipped: str  # why, if it was
    circumstances: str  # the date, the machine, and what else ran on it


def place_in_docs(name):
    return re.compile(rf"(<!-- bench {name} -->\n).*?(<!-- end -->)", re.S)


def require_places_in_docs(file, names):
    """Raises before anything is measured whose tables would have nowhere to go."""
    text = file.read_text()
    for name in names:
        places = len(place_in_docs(name).findall(text))
        if places != 1:
            raise ValueError(f"{file} has {places} places for the tables of '{name}', wanted 1")


class Report:
    def __init__(self, quick):
        self.date = datetime.date.today().isoformat()
        self.machine = machine()
        self.load_at_start = os.getloadavg()[0]
        self.quick = quick
        self.sections = []

    def add(self, name, title, tables):
        self.sections.append(Section(name, title, tables, "", self.circumstances()))

    def skip(self, name, title, reason):
        self.sections.append(Section(name, title, [], reason, self.circumstances()))

    def circumstances(self):
        load = max(self.load_at_start, os.getloadavg()[0])
        text = f"{self.date}, {self.machine}, load average {load:.1f}"
        if load > os.cpu_count():
            text += " (other work was running: latencies are upper bounds, CPU times up to 1.5 times)"
        return text

    def write(self, folder):
        folder.mkdir(exist_ok=True)
        sections = [{"name": section.name, "title": section.title, "skipped": section.skipped,
                     "tables": [{"title": t.title, "unit": t.unit, "variants": t.variants,
                                 "summary": t.summary, "goal": t.goal, "noise": t.noise(),
                                 "too_noisy": t.is_too_noisy(),
                                 "rows": [{"label": label, "samples": s} for label, s in t.rows]}
                                for t in section.tables]}
                    for section in self.sections]
        (folder / "report.json").write_text(json.dumps(
            {"schema": 1, "date": self.date, "machine": self.machine, "quick": self.quick,
             "circumstances": self.circumstances(), "sections": sections}, indent=1))
        body = [f"<p>{html.escape(self.circumstances())}</p>"]
        for section in self.sections:
            body.append(f"<h2>{html.escape(section.title)}</h2>")
            if section.skipped:
                body.append(f"<p>skipped: {html.escape(section.skipped)}</p>")
            for table in section.tables:
                body.append(f"<h3>{html.escape(table.title)}</h3>{plot(table)}"
                            f"<p>{html.escape(verdict(table))}</p>"
                            f"<pre>{html.escape(markdown(table))}</pre>")
        (folder / "report.html").write_text(
            "<!doctype html><meta charset=utf-8><title>mend: benchmarks</title>"
            "<body style='font-family:sans-serif;max-width:60em;margin:auto'>"
            "<h1>mend: benchmarks</h1>" + "".join(body))

    def write_docs(self, file):
        """Replaces what stands between <!-- bench NAME --> and <!-- end --> by what was last measured."""
        section = self.sections[-1]
        if section.skipped:
            return
        found = "\n".join(markdown(table) for table in section.tables)
        file.write_text(place_in_docs(section.name).sub(
            lambda m: f"{m.group(1)}{section.circumstances}:\n\n{found}\n{m.group(2)}", file.read_text()))
