"""The sdist carries the built pages and becomes a wheel without Node."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

from fullon_master_api.web.pages import BUILT

ROOT: Final = Path(__file__).parents[2]
INSIDE: Final = "fullon_master_api/web/built/"


def _build(kind: str, source: Path, target: Path) -> Path:
    """What hatchling makes of `source`, with a PATH that has no Node and npm pointed at nothing."""
    environment = {**os.environ, "PATH": os.defpath, "npm_config_registry": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(target)]
    run = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stderr
    (made,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def test_an_sdist_becomes_a_wheel_with_its_pages_on_a_machine_without_node(tmp_path: Path) -> None:
    built = {path.name for path in BUILT.iterdir()}
    assert {"graphiql.js", "graphql.worker.js", "swagger.js", "redoc.js", "inputs.sha256"} <= built

    sdist = _build("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert {name.rsplit("/", 1)[1] for name in names if INSIDE in name} == built
    assert not [name for name in names if "node_modules" in name]

    (unpacked,) = (tmp_path / "unpacked").iterdir()
    with zipfile.ZipFile(_build("wheel", unpacked, tmp_path / "wheel")) as wheel:
        assert {name.rsplit("/", 1)[1] for name in wheel.namelist() if name.startswith(INSIDE)} == built
        assert not [name for name in wheel.namelist() if re.match(r"(tests|ui|examples)/", name)]
        (metadata,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
        assert "fullon = fullon_master_api.cli:main" in wheel.read(metadata).decode()
