"""What the dashboard costs a browser: paint after a load, and frames while a hundred rows change.

Starts `fullon demo` with many markets and opens the dashboard in headless Chromium, as a trader. Reports, per run:

    paint      first-paint and first-contentful-paint of the door (nobody signed in), over several loads in new browser
               profiles, and when its form is there; of the desk (signed in), and when each row of the grid has a price
    frames     frames that the compositor presented and dropped, those that changed nothing left out; gaps between
               animation frames of the page above 20 ms
    main       CPU and wall time of the page's main thread per second, by kind, and tasks longer than one frame (16.7 ms)

CPU times are of the thread itself, so they hold on a machine that does other things too; frames and paint do not.

    python benchmarks/dashboard.py --rows 100 --updates-per-s 1 --seconds 20 --json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

FRAME_MS: Final = 1000 / 60
FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
CATEGORIES: Final = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline.frame"]
KINDS: Final = {
    "script": ("FunctionCall", "EvaluateScript", "FireAnimationFrame", "TimerFire", "V8.GC_MC_BACKGROUND", "MinorGC", "MajorGC"),
    "style": ("UpdateLayoutTree",),
    "layout": ("Layout",),
    "paint": ("PrePaint", "Paint", "Layerize", "Commit"),
}

# Put into every document before its own scripts: notes when one can sign in, and when each row of the grid has a price.
NOTE_GRID: Final = """
  window.gridMs = window.doorMs = null;
  new MutationObserver((_, observer) => {
    if (window.doorMs === null && document.querySelector("input[name=mail]")) window.doorMs = performance.now();
    const cells = [...document.querySelectorAll("[data-panel=market] [data-cell=last]")];
    if (!cells.length || cells.some((cell) => !/\\d/.test(cell.textContent))) return;
    window.gridMs = performance.now();
    observer.disconnect();
  }).observe(document, { childList: true, subtree: true, characterData: true });
"""

# Counts changed rows and the gaps between animation frames for so many milliseconds.
WATCH: Final = """async (ms) => {
  const body = document.querySelector("[data-panel=market] tbody");
  let changes = 0;
  const observer = new MutationObserver((records) => {
    const rows = new Set();
    for (const { target } of records) {
      const cell = (target.nodeType === Node.TEXT_NODE ? target.parentElement : target)?.closest("td");
      if (cell && !cell.classList.contains("age")) rows.add(cell.parentElement);
    }
    changes += rows.size;
  });
  observer.observe(body, { childList: true, subtree: true, characterData: true });
  const gaps = [];
  await new Promise((done) => {
    const begun = performance.now();
    let before = null;
    const frame = (now) => {
      if (before !== null) gaps.push(now - before);
      before = now;
      if (now - begun < ms) requestAnimationFrame(frame);
      else done();
    };
    requestAnimationFrame(frame);
  });
  observer.disconnect();
  const pane = body.closest(".scroll").getBoundingClientRect();
  const tops = [...body.rows].map((row) => row.getBoundingClientRect().top);
  const inSight = tops.filter((top) => top >= pane.top && top < Math.min(pane.bottom, innerHeight)).length;
  return { rows: body.rows.length, inSight, changes, gaps };
}"""
PAINT: Final = "() => Object.fromEntries(performance.getEntriesByType('paint').map(({ name, startTime }) => [name, startTime]))"


@contextmanager
def demo(rows: int, updates_per_s: float) -> Iterator[str]:
    """A demo with so many markets, and its URL."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["demo", "--port", "0", "--data-dir", folder, "--markets", str(rows), "--updates-per-s", str(updates_per_s)]
        with (Path(folder) / "log").open("w") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "fullon_master_api", *words], stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert server.stdout is not None
        try:
            for line in server.stdout:
                if line.startswith("Ready: "):
                    yield line.removeprefix("Ready: ").strip()
                    return
            raise SystemExit("the demo ended before it was ready")
        finally:
            server.terminate()
            server.wait(timeout=30)
            server.stdout.close()


def sign_in(page: Page) -> None:
    page.get_by_label("Mail").fill("trader@fullon")
    page.get_by_label("Password").fill("password")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_function("() => window.gridMs !== null", timeout=60_000)


def measure_paint(browser: Browser, url: str, loads: int) -> dict[str, Any]:
    """Milliseconds from the start of the navigation, of each load and their medians."""
    door: list[dict[str, float]] = []
    desk: list[dict[str, float]] = []
    for _ in range(loads):
        context = browser.new_context(viewport={"width": 1500, "height": 900})
        context.add_init_script(NOTE_GRID)
        page = context.new_page()
        page.goto(url)
        page.get_by_label("Mail").wait_for()
        page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
        door.append(page.evaluate(PAINT) | {"form": page.evaluate("() => window.doorMs")})
        sign_in(page)
        page.reload()
        page.wait_for_function("() => window.gridMs !== null", timeout=60_000)
        desk.append(page.evaluate(PAINT) | {"grid": page.evaluate("() => window.gridMs")})
        context.close()

    def median(runs: list[dict[str, float]]) -> dict[str, float]:
        return {name: round(statistics.median(run[name] for run in runs), 1) for name in runs[0]}

    return {"door_ms": median(door), "desk_ms": median(desk), "door_loads": door, "desk_loads": desk}


def measure_frames(browser: Browser, url: str, seconds: float, height: int) -> dict[str, Any]:
    """One window of a signed-in page, with the browser's own trace of it."""
    context = browser.new_context(viewport={"width": 1500, "height": height})
    context.add_init_script(NOTE_GRID)
    page = context.new_page()
    page.goto(url)
    sign_in(page)
    page.wait_for_timeout(3_000)  # The chart, the accounts and the first burst are not what is measured.
    browser.start_tracing(page=page, categories=CATEGORIES)
    seen = page.evaluate(WATCH, seconds * 1000)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    context.close()
    gaps = sorted(seen["gaps"])
    return {
        "rows": seen["rows"],
        "rows_in_sight": seen["inSight"],
        "row_changes_per_s": round(seen["changes"] / seconds, 1),
        "animation_frames_per_s": round(len(gaps) / seconds, 1),
        "gaps_over_20_ms": sum(gap > 20 for gap in gaps),
        "gap_ms_p99": round(gaps[int(len(gaps) * 0.99)], 1),
        "gap_ms_max": round(gaps[-1], 1),
        **traced(events, seconds),
    }


def traced(events: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Frames of the compositor and the work of the main thread, out of a trace."""
    threads = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
    busiest = _page_thread(events, threads)
    own = [event for event in events if (event["pid"], event["tid"]) == busiest and event.get("ph") == "X"]
    tasks = [event for event in own if event["name"] == "ThreadControllerImpl::RunTask"]
    cpu_ms = {
        kind: round(sum(event.get("tdur", 0) for event in own if event["name"] in names) / 1000 / seconds, 2)
        for kind, names in KINDS.items()
    }
    ends = [event["args"] for event in events if event["pid"] == busiest[0] and event["name"] == "PipelineReporter"]
    states = [(args.get("frame_reporter") or args.get("chrome_frame_reporter") or {}).get("state", "") for args in ends]
    return {
        "frames_presented": sum(state.startswith("STATE_PRESENTED") for state in states),
        "frames_presented_in_part": states.count("STATE_PRESENTED_PARTIAL"),
        "frames_dropped": states.count("STATE_DROPPED"),
        "main_cpu_ms_per_s": round(sum(event.get("tdur", 0) for event in tasks) / 1000 / seconds, 1),
        "main_wall_ms_per_s": round(sum(event.get("dur", 0) for event in tasks) / 1000 / seconds, 1),
        "main_cpu_ms_per_s_by_kind": cpu_ms,
        "tasks_over_a_frame_of_wall": sum(event.get("dur", 0) / 1000 > FRAME_MS for event in tasks),
        "tasks_over_a_frame_of_cpu": sum(event.get("tdur", 0) / 1000 > FRAME_MS for event in tasks),
        "longest_task_cpu_ms": round(max((event.get("tdur", 0) for event in tasks), default=0) / 1000, 1),
    }


def _page_thread(events: list[dict[str, Any]], threads: dict[tuple[int, int], str]) -> tuple[int, int]:
    """The main thread of the page: of the browser's renderers the one that ran most animation frames."""
    counts: dict[tuple[int, int], int] = {}
    for event in events:
        key = (event["pid"], event["tid"])
        if event["name"] == "FireAnimationFrame" and threads.get(key) == "CrRendererMain":
            counts[key] = counts.get(key, 0) + 1
    return max(counts, key=lambda key: counts[key])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--updates-per-s", type=float, default=1.0, help="of each row's ticker, in the mean")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--height", type=int, default=900, help="of the window; with 4000 all of a hundred rows are in sight")
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on this machine: install Debian's `chromium`")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    with sync_playwright() as playwright, demo(options.rows, options.updates_per_s) as url:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        version = browser.version
        paint = measure_paint(browser, url, options.loads)
        frames = measure_frames(browser, url, options.seconds, options.height)
        browser.close()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Chromium {version}"
    found = {"machine": machine, "commit": commit, "seconds": options.seconds, "paint": paint, "frames": frames}
    if options.json:
        print(json.dumps(found))
        return
    print(f"{machine}, commit {commit}, {options.loads} loads, {options.seconds:g} s")
    for where in ("door_ms", "desk_ms"):
        print(f"{where:28} {', '.join(f'{name} {ms:g}' for name, ms in paint[where].items())}")
    for name, value in frames.items():
        print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
