"""graphql-core's own execution tests, from its source distribution, against our executor."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import graphql
import pytest

FILES = (
    *("abstract", "directives", "error_propagation", "executor", "lists", "mutations", "nonnull", "oneof", "parallel"),
    *("resolve", "schema", "sync", "too_deeply_nested_selections", "union_interface", "variables"),
)

LISTS = "test_lists.py::describe_execute_"
DIFFERENT = {
    "another of several errors that null one position, or another order of errors": (
        "test_nonnull.py::describe_execute_handles_non_nullable_types::describe_nulls_a_complex_tree_of_nullable_fields_each::throws",
        f"{LISTS}accepts_async_iterables_as_list_value::handles_mixture_of_sync_and_async_errors_in_async_iterables",
        f"{LISTS}accepts_async_iterables_as_list_value::calls_aclose_when_non_null_list_item_errors",
    ),
    "siblings of what failed are not cancelled": ("test_parallel.py::describe_parallel_execution::describe_cancel_on_exception",),
    "our executor is always awaited, also when nothing waits": (
        f"{LISTS}handles_abrupt_completion_in_synchronous_iterables",
        f"{LISTS}handles_list_nullability",
        "test_union_interface.py::describe_execute_union_and_intersection_types::handles_rejections_from_is_type_of_after_an_is_type_of_returns_true",
        "test_union_interface.py::describe_execute_union_and_intersection_types::handles_pending_is_type_of_rejections_when_a_later_one_throws_sync",
        "test_sync.py::describe_execute_synchronously_when_possible::describe_execute_sync",
        "test_executor.py::describe_execute_handles_basic_execution_tasks::handles_sync_errors_combined_with_async_ones",
    ),
    "info is Strawberry's, which has one more entry": (
        "test_executor.py::describe_execute_handles_basic_execution_tasks::provides_info_about_current_execution_state",
    ),
}


def fetch(what: list[str]) -> None:
    found = subprocess.run([sys.executable, "-m", "pip", *what], capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"the package registry does not answer: {found.stderr[-300:]}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_graphql_cores_own_execution_tests_pass_on_our_executor(tmp_path: Path) -> None:
    source = f"graphql-core=={graphql.version}"
    fetch(["download", "--quiet", "--no-deps", "--no-binary", "graphql-core", "--dest", str(tmp_path), source])
    fetch(["install", "--quiet", "--no-deps", "--target", str(tmp_path / "plugins"), "pytest-describe>=3.2,<4"])
    with tarfile.open(next(tmp_path.glob("graphql_core-*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    suite = next(tmp_path.glob("graphql_core-*/tests"))
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "plugins"), str(here.parents[1] / "src"), str(here)]),
    }
    deselected = [f"--deselect=tests/execution/{name}" for names in DIFFERENT.values() for name in names]
    options = ["-c", os.devnull, "--rootdir", str(suite.parent), "-o", "asyncio_mode=auto", "-W", "ignore", "-q"]
    command = [sys.executable, "-m", "pytest", "-p", "core_suite", "-p", "no:cacheprovider", *options, *deselected]
    files = [f"tests/execution/test_{name}.py" for name in FILES]

    ran = subprocess.run([*command, *files], cwd=suite.parent, env=environment, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    planned = re.search(r"planned=(\d+)", ran.stdout)
    assert planned is not None
    assert int(planned[1]) > 200
