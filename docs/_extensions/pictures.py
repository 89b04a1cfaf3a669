"""Pictures of the pages: those that their own code saves, and charts of what was measured.

A page that shows `_pictures/<page>/<name>` has code that saves `<name>`; it runs in that folder
before the pages are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from charts import draw_charts
from pages import run_page

FOLDER = "_pictures"


def make_pictures(app: Any) -> None:
    """Run the pages that show pictures of their own, and draw the charts."""
    docs = Path(app.srcdir)
    if app.config.root_doc != "index":  # a gallery alone
        return
    for page in sorted(docs.rglob("*.md")):
        name = page.relative_to(docs).with_suffix("").as_posix()
        folder = docs / FOLDER / name
        if f"{FOLDER}/{name}/" in page.read_text(encoding="utf-8") and name != "benchmarks":
            folder.mkdir(parents=True, exist_ok=True)
            run_page(page, folder)
    draw_charts(docs / "benchmarks", docs / FOLDER / "benchmarks")


def remove_leftovers(app: Any) -> None:
    """Remove the pages of scripts that are gone; sphinx-gallery leaves them."""
    for folder in Path(app.srcdir).glob("auto_*"):
        sources = Path(app.srcdir, "gallery", folder.name.removeprefix("auto_"))
        for page in folder.glob("*.rst"):
            if page.stem != "index" and not (sources / f"{page.stem}.py").exists():
                page.unlink()


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", make_pictures)
    app.connect("builder-inited", remove_leftovers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
