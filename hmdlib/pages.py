"""Executed notebooks as pages that are read without Jupyter and without a network."""

import base64
import re
from io import BytesIO
from pathlib import Path

from hmdlib.report import escape


def is_missing(notebook):
    """True for an executed notebook that has no page yet."""
    return notebook.exists() and not notebook.with_suffix(".html").exists()


def render_page(notebook):
    """An executed notebook as an HTML page beside it, to read without Jupyter; returns the path."""
    import nbformat
    from nbconvert import HTMLExporter

    page = nbformat.read(notebook, as_version=4)
    for cell in page.cells:
        if cell.cell_type == "markdown":
            cell.source = draw_equations(cell.source)
    body, _ = HTMLExporter(template_name="lab").from_notebook_node(page)
    # the lab template forgets that a listing among the outputs is code
    code = "<style>.jp-OutputArea .highlight pre {font-family: monospace}</style>"
    body = body.replace("</head>", f"{code}</head>", 1)
    path = Path(notebook).with_suffix(".html")
    partial = path.with_suffix(".partial.html")
    partial.write_text(body)
    partial.replace(path)  # whoever is interrupted leaves no half page
    return path


def draw_equations(markdown):
    """$...$ and $$...$$ as pictures in the page: it is read without a network, and so MathJax."""
    from matplotlib import mathtext
    from matplotlib.font_manager import FontProperties

    def draw(found):
        shown, file = found.group(1) is not None, BytesIO()
        source = " ".join(found.group(1 if shown else 2).split())
        font = FontProperties(size=13 if shown else 10.5)
        try:
            depth = mathtext.math_to_image(f"${source}$", file, font, format="svg")
        except ValueError:
            return found.group()  # LaTeX beyond matplotlib's; online, MathJax sets it
        svg = base64.b64encode(file.getvalue()).decode()
        place = "display:block;margin:1em 2em" if shown else "display:inline;margin:0"
        style = f"vertical-align:-{depth:.1f}pt;{place}"
        return f'<img src="data:image/svg+xml;base64,{svg}" alt="{escape(source)}" style="{style}">'

    parts = re.split(r"(```.*?```|`[^`\n]*`)", markdown, flags=re.S)  # code keeps its dollars
    equation = re.compile(r"\$\$(.+?)\$\$|(?<![\\$\w])\$(?=\S)([^$\n]+?)(?<=\S)\$(?!\d)", re.S)
    return "".join(part if part[:1] == "`" else equation.sub(draw, part) for part in parts)
