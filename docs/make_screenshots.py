"""Make the pictures of the report in docs/images: a real search on the data that ships, its report, screenshots.

    python docs/make_screenshots.py                # searches for some minutes on two cores, then takes the pictures
    python docs/make_screenshots.py --run DIR      # keeps the run in DIR, or goes on with the one that is there

Needs a Chromium on the path, websocket-client (in the extra `dev`) and plotly. The search has a fixed seed, so the
figures in the pictures are the same on every CPU of one kind.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import nasengine as nas  # noqa: E402 (the checkout's, with its tests beside it)
from tests.report.browser import Browser  # noqa: E402

IMAGES = REPOSITORY / "docs" / "images"
LARGEST = 400_000  # bytes
SETTINGS = ("data.limit=2000", "data.validation=0.4", "data.batch=16", "retrain.seeds=2", "retrain.budget.epochs=3")
WIDE, PHONE = 1280, 390
FROM_TO = {  # picture -> width, the sections that it shows (None: from the top)
    "wide": (WIDE, None, "pareto-front"),
    "network": (WIDE, "importance-of-the-choices", "the-best-architecture"),
    "phone": (PHONE, None, "pareto-front"),
}
EDGES = (
    "['{0}', '{1}'].map((id) => document.getElementById(id)?.getBoundingClientRect())"
    ".map((box) => box && [box.top, box.bottom])"
)


def main() -> None:
    """Search where there is no run yet, write the report, take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, default=None, help="where the run lies or will lie")
    folder = parser.parse_args().run
    with tempfile.TemporaryDirectory() as temporary:
        run = searched(folder or Path(temporary) / "run")
        page = nas.report(run, Path(temporary) / "report.html")
        IMAGES.mkdir(exist_ok=True)
        with Browser(Path(temporary)) as browser:
            for name, (width, first, last) in FROM_TO.items():
                browser.open(page, width=width)
                start, end = browser.evaluate(EDGES.format(first, last))
                save(browser.picture(whole=True), start[0] if start else 0, end[1] + 16, IMAGES / f"report_{name}.png")


def searched(folder: Path) -> nas.Run:
    """The run: NSGA-II for accuracy and MACs, 60 trials of two epochs on part of the data that ships."""
    if (folder / "run.yaml").is_file():
        return nas.resume(folder)
    return nas.search(
        "quickstart",
        "accuracy_and_macs",
        run=folder,
        seed=1,
        trials=60,
        epochs=2,
        device="cpu",
        set=SETTINGS,
        executor="local",
        workers=2,
    )


def save(picture: bytes, top: float, bottom: float, path: Path) -> None:
    """Part of a picture, compressed."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image = image.crop((0, round(top), image.width, min(round(bottom), image.height)))
    image.save(path, optimize=True)
    size = path.stat().st_size
    assert size <= LARGEST, f"{path} has {size} bytes"
    print(f"{path.relative_to(REPOSITORY)}: {image.width}×{image.height}, {size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
