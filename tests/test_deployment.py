"""What is deployed: image, Compose, Kubernetes and systemd are valid, agree with the settings, and the image's steps work."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import compose_spec
import httpx
import kubernetes_validate
import pytest
import yaml
from pydantic import AliasChoices

from fullon_master_api.settings import Settings
from fullon_master_api.transport.figures import GAUGES
from tests.servers import free_port

ROOT: Final = Path(__file__).parent.parent
KUBERNETES: Final = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
UNITS: Final = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
VERSION: Final = "1.34"
FOLDERS: Final = ("/opt/fullon", "/var/lib/fullon", "/build")
"""Absolute folders of the image, each of which the replay moves below its own."""


def _variables() -> set[str]:
    """Every environment variable that the settings read."""
    found = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        found |= {str(choice) for choice in alias.choices} if isinstance(alias, AliasChoices) else {name.upper()}
    return found


# ---- Compose -----------------------------------------------------------------------------------------------------------


def _compose_text() -> str:
    return (ROOT / "compose.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as it is written, aliases merged, variables not yet replaced."""
    found: dict[str, Any] = yaml.safe_load(_compose_text())
    return found


def test_the_compose_file_follows_the_specification(compose: dict[str, Any]) -> None:
    # As Compose does it: the default, or what the operator set.
    text = re.sub(r"\$\{\w+(?::([-?])([^}]*))?\}", lambda found: found[2] if found[1] == "-" else "set", _compose_text())
    replaced = json.dumps(yaml.safe_load(text))
    assert sorted(compose_spec.PyCompose.from_json(replaced).service_names()) == sorted(compose["services"])
    with pytest.raises(ValueError, match="prots"):
        compose_spec.PyCompose.from_json('{"services": {"api": {"image": "fullon", "prots": ["80"]}}}')


def test_compose_has_two_servers_a_worker_the_stores_and_a_proxy(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"postgres", "redis", "migrate", "api", "worker", "proxy"}
    assert services["api"]["deploy"]["replicas"] == 2
    assert [services[name]["command"] for name in ("api", "worker", "migrate")] == [["serve"], ["worker"], ["migrate", "up"]]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    waits = {name: set(service.get("depends_on", ())) for name, service in services.items()}
    assert waits["api"] == waits["worker"] == {"migrate", "redis"}
    assert compose["networks"]["inside"]["internal"] is True


def test_compose_sets_what_the_settings_read_and_no_secret(compose: dict[str, Any]) -> None:
    given = compose["services"]["api"]["environment"]
    assert set(given) <= _variables()
    for name in ("JWT_SECRET_KEY", "CREDENTIALS_KEY"):
        assert re.fullmatch(rf"\$\{{{name}:\?.+\}}", given[name]), f"{name} must be refused where it is not set"
    assert "${POSTGRES_PASSWORD:?" in given["DATABASE_URL"]


def test_the_database_of_compose_has_connections_for_four_servers_and_a_worker(compose: dict[str, Any]) -> None:
    (given,) = [word for word in compose["services"]["postgres"]["command"] if word.startswith("max_connections=")]
    settings = Settings()
    each = settings.db_pool_size + settings.db_pool_max_overflow + settings.db_pool_size  # The candle store has a pool too.
    assert int(given.partition("=")[2]) >= 5 * each + 10


# ---- Kubernetes --------------------------------------------------------------------------------------------------------


def _objects() -> Iterator[dict[str, Any]]:
    for path in KUBERNETES:
        yield from (found for found in yaml.safe_load_all(path.read_text(encoding="utf-8")) if found["kind"] != "Kustomization")


OBJECTS: Final = list(_objects())


def _named(kind: str, name: str) -> dict[str, Any]:
    (found,) = [item for item in OBJECTS if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


@pytest.mark.parametrize("item", OBJECTS, ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_a_manifest_has_no_field_that_kubernetes_does_not_know(item: dict[str, Any]) -> None:
    kubernetes_validate.validate(item, VERSION, strict=True)
    assert item["kind"] == "Namespace" or item["metadata"]["namespace"] == "fullon"


def test_all_manifests_but_the_secret_are_applied_together() -> None:
    kustomization = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "kustomization.yaml").read_text(encoding="utf-8"))
    files = {path.name for path in KUBERNETES} - {"kustomization.yaml", "secret.example.yaml"}
    assert set(kustomization["resources"]) == files
    images = {spec["image"] for spec in _containers()}
    assert images == {image["name"] for image in kustomization["images"]}


def _containers() -> Iterator[dict[str, Any]]:
    for item in OBJECTS:
        if item["kind"] in ("Deployment", "Job"):
            assert item["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
            yield from item["spec"]["template"]["spec"]["containers"]


def test_manifests_set_what_the_settings_read() -> None:
    assert set(_named("ConfigMap", "fullon-settings")["data"]) <= _variables()
    secret = _named("Secret", "fullon-secrets")["stringData"]
    assert set(secret) <= _variables()
    assert [secret[name] for name in ("JWT_SECRET_KEY", "CREDENTIALS_KEY")] == ["", ""]
    named = {next(iter(source.values()))["name"] for spec in _containers() for source in spec["envFrom"]}
    assert named == {"fullon-settings", "fullon-secrets"}


def test_a_server_is_probed_scaled_by_its_sockets_and_never_drained_to_none() -> None:
    deployment = _named("Deployment", "fullon-api")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert probes == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    scaler = _named("HorizontalPodAutoscaler", "fullon-api")["spec"]
    names = [metric["pods"]["metric"]["name"] for metric in scaler["metrics"] if metric["type"] == "Pods"]
    assert names == ["fullon_live_sockets"]
    assert "sockets" in GAUGES
    assert scaler["minReplicas"] >= 2
    for name in ("fullon-api", "fullon-worker"):
        labels = _named("Deployment", name)["spec"]["template"]["metadata"]["labels"]
        budget = _named("PodDisruptionBudget", name)["spec"]
        assert budget["selector"]["matchLabels"].items() <= labels.items()
        assert budget["minAvailable"] >= 1
    assert (
        _named("Service", "fullon-api")["spec"]["selector"].items()
        <= deployment["spec"]["template"]["metadata"]["labels"].items()
    )
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 5 + Settings().drain_timeout_s + 5


# ---- systemd -----------------------------------------------------------------------------------------------------------


def test_units_wait_until_the_process_says_that_it_is_ready() -> None:
    assert [path.name for path in UNITS] == ["fullon-api.service", "fullon-worker.service"]
    for path in UNITS:
        text = path.read_text(encoding="utf-8")
        assert "\nType=notify\n" in text
        assert "\nUser=fullon\n" in text
        assert re.search(r"^ExecStart=/opt/fullon/bin/fullon (serve|worker)$", text, re.MULTILINE)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is part of systemd, which is not here")
def test_units_hold_for_systemd(tmp_path: Path) -> None:
    here = str(Path(sys.executable).with_name("fullon"))
    for path in UNITS:
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8").replace("/opt/fullon/bin/fullon", here))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]

    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)

    ours = [line for line in done.stderr.splitlines() if "fullon-" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


# ---- the image ---------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """An instruction of the Dockerfile with what stands behind it."""

    word: str
    rest: str


def _stages() -> list[list[Step]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    stages: list[list[Step]] = []
    for line in joined.splitlines():
        step = Step(*line.split(" ", 1))
        if step.word == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(step)
    return stages


def _one(stage: list[Step], word: str) -> str:
    (found,) = [step.rest for step in stage if step.word == word]
    return found


def test_the_image_runs_as_nobody_and_is_checked_in_its_last_stage_without_a_build_tool() -> None:
    build, last = _stages()
    assert _one(last, "USER") == "10001:10001"
    assert "/readyz" in _one(last, "HEALTHCHECK")
    assert json.loads(_one(last, "ENTRYPOINT")) + json.loads(_one(last, "CMD")) == ["fullon", "serve"]
    assert [step for step in last if step.word in ("RUN", "ADD")] == []
    assert [step.word for step in build] == ["FROM", "WORKDIR", "COPY", "RUN"]
    given = {pair.split("=", 1)[0] for pair in shlex.split(_one(last, "ENV"))}
    assert given - {"PATH", "PYTHONUNBUFFERED"} <= _variables()


def _context(target: Path) -> None:
    """What a build is sent of a clean checkout: the committed files that .dockerignore lets through."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = [line.removeprefix("!") for line in lines if line.startswith("!")]
    command = ["git", "ls-files", "-z", "--", *let_through]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)


@pytest.mark.slow
@pytest.mark.timeout(1500)  # The pages are built and every dependency is installed, as on a machine that has nothing.
def test_the_steps_of_the_image_give_a_server_with_pages_and_queries(tmp_path: Path) -> None:
    build, last = _stages()

    def moved(text: str) -> str:
        for folder in FOLDERS:
            text = text.replace(folder, str(tmp_path) + folder)
        return text

    for folder in FOLDERS:
        (tmp_path / folder[1:]).parent.mkdir(parents=True, exist_ok=True)
    _context(tmp_path / "build")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    outside = {name: value for name, value in os.environ.items() if name not in _variables() | {"VIRTUAL_ENV", "PYTHONPATH"}}
    path = f"{Path(sys.executable).parent}:{os.defpath}"
    done = subprocess.run(
        ["sh", "-ec", moved(_one(build, "RUN"))],
        cwd=tmp_path / "build",
        env=outside | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=1300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]

    pairs = dict(pair.split("=", 1) for pair in shlex.split(moved(_one(last, "ENV"))))
    pairs |= {"PATH": pairs["PATH"].replace("$PATH", os.defpath), "HOST": "127.0.0.1", "PORT": str(free_port())}
    pairs |= {"JWT_SECRET_KEY": secrets.token_urlsafe(48), "HOME": str(tmp_path)}
    home = tmp_path / "var/lib/fullon"
    fullon = str(tmp_path / "opt/fullon/bin/fullon")
    for words in (["migrate", "up"], ["user", "add", "admin@fullon", "--admin", "--password", "a good password"]):
        subprocess.run([fullon, *words], cwd=home, env=pairs, check=True, timeout=200)
    command = json.loads(_one(last, "ENTRYPOINT")) + json.loads(_one(last, "CMD"))
    with subprocess.Popen(
        [fullon, *command[1:]], cwd=home, env=pairs, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            _look(server, json.loads(_one(last, "HEALTHCHECK").split(" CMD ")[1]), pairs, tmp_path / "opt/fullon/bin/python")
        finally:
            server.send_signal(signal.SIGTERM)
            code = server.wait(timeout=60)
    assert code == 0


def _look(server: subprocess.Popen[str], check: list[str], env: dict[str, str], python: Path) -> None:
    """The health check passes, pages and their scripts are there, and a query is answered."""
    assert server.stdout is not None
    late = threading.Timer(200, server.kill)
    late.start()
    try:
        url = server.stdout.readline().removeprefix("Ready: ").strip()
    finally:
        late.cancel()
    assert url.startswith("http://"), "the server was not ready in time"
    subprocess.run([str(python), *check[1:]], env=env, check=True, timeout=60)
    with httpx.Client(base_url=url, timeout=60, headers={"Accept": "text/html"}) as http:
        for page in ("/", "/graphql", "/docs", "/redoc"):
            html = http.get(page)
            assert html.status_code == 200, page
            scripts = re.findall(r'(?:src|href)="([^":]+\.(?:js|css))"', html.text)
            assert scripts, page
            assert {http.get(httpx.URL(url + page).join(script)).status_code for script in scripts} == {200}, scripts
        answer = http.post("/api/v1/auth/login", data={"username": "admin@fullon", "password": "a good password"})
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}", "Accept": "application/json"}
        asked = http.post("/graphql", json={"query": "{ me { mail role } services { name } }"}, headers=headers).json()
        assert asked["data"]["me"] == {"mail": "admin@fullon", "role": "ADMIN"}, asked
        assert len(asked["data"]["services"]) == 4
