"""Requests made from an OpenAPI document, and what judges their answers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

CHECKS: Final = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def schemathesis(url: str, *words: str) -> list[str]:
    """The command for a server at this URL. CI makes the same requests each time; everybody else's run looks further."""
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/openapi.json", "--checks", CHECKS, *words]
    command += ["--no-color", "--suppress-health-check", "all", "--request-timeout", "60", "--wait-for-schema", "120"]
    return [*command, "--generation-deterministic"] if os.environ.get("PROFILE") == "ci" else command
