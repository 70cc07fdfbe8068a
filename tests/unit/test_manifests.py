"""The Dockerfile, the compose files and the manifests: valid, and at one with each other and the settings."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from service.entities.registry import ENTITIES
from service.settings import GROUPS, ShutdownSettings, load_settings
from service.settings.process import HttpSettings
from service.settings.reading import Prefix, is_secret, variable
from tests.container import lint
from tests.container.documents import (
    CHECKOUT,
    COMPOSE_FILES,
    DOCKERFILE,
    KUBERNETES,
    Document,
    compose_images,
    compose_services,
    image_port,
    image_user,
    instructions,
    kubernetes_objects,
    pod_templates,
)

WHOLE, REDIS_ALONE = COMPOSE_FILES
STAND_INS = CHECKOUT / "tests" / "container" / "stand_ins"
# The services of the compose file that run our image.
OURS = ("migrate", "upsertd")
# `${NAME:-default}` of compose files; a dollar sign before it escapes it.
INTERPOLATED = re.compile(r"(?<!\$)\$\{(\w+)(?::-([^}]*))?\}")
SHUTDOWN_SECONDS = ShutdownSettings.model_fields["timeout_seconds"].get_default()
HTTP_PORT = HttpSettings.model_fields["port"].get_default()


def known_names() -> set[str]:
    """Every environment variable that upsertd reads."""
    names: set[str] = set()
    for field in (field for group in GROUPS for field in group.model_fields.values()):
        name = variable(field)
        if any(isinstance(marker, Prefix) for marker in field.metadata):
            names |= {f"{name}{entity.upper()}" for entity in ENTITIES}
        else:
            names |= {name, f"{name}_FILE"} if is_secret(field) else {name}
    return names


def with_defaults(value: object) -> str:
    """A value of a compose file as it is when no variable is set."""
    return INTERPOLATED.sub(lambda found: found[2] or "", str(value))


def kubernetes_object(kind: str, name: str = "upsertd") -> Document:
    """The object of this kind and name."""
    (found,) = [
        each for each in kubernetes_objects() if each["kind"] == kind and each["metadata"]["name"] == name
    ]
    return found


def environments() -> Mapping[str, Mapping[str, str]]:
    """What the image is given in each place that runs it."""
    compose = compose_services(WHOLE)
    variables = kubernetes_object("Job", "upsertd-migrate")["spec"]["template"]["spec"]["containers"][0][
        "env"
    ]
    image = dict(pair.split("=", 1) for pair in instructions("ENV")[-1].split())
    return {
        "image": {name: value for name, value in image.items() if name.startswith("HTTP_")},
        "config map": kubernetes_object("ConfigMap")["data"],
        "job": {each["name"]: each["value"] for each in variables},
        **{
            name: {key: with_defaults(value) for key, value in compose[name]["environment"].items()}
            for name in OURS
        },
    }


def test_the_dockerfile_passes_hadolint() -> None:
    """hadolint has nothing to say."""
    assert not list(lint.dockerfile_problems())


def test_hadolint_would_complain(tmp_path: Path) -> None:
    """A Dockerfile with a known fault is refused: the check can fail."""
    faulty = tmp_path / "Dockerfile"
    faulty.write_text(DOCKERFILE.read_text() + "RUN cd /tmp && sudo pip install flask\n")
    assert "DL3004" in "".join(lint.dockerfile_problems(faulty))


def test_the_compose_files_fit_the_specification() -> None:
    """The compose specification's schema accepts both files."""
    assert not list(lint.compose_problems())


def test_a_wrong_compose_file_is_refused(tmp_path: Path) -> None:
    """A misspelt key of a service is found: the check can fail."""
    faulty = tmp_path / "docker-compose.yml"
    faulty.write_text(REDIS_ALONE.read_text().replace("read_only:", "readonly:"))
    assert "readonly" in "".join(lint.compose_problems(faulty))


def test_the_manifests_fit_kubernetes() -> None:
    """Every manifest is strictly valid, for the oldest Kubernetes that we write for and the newest."""
    assert len(list(kubernetes_objects())) >= len(list(KUBERNETES.glob("*.yaml")))
    assert not list(lint.kubernetes_problems())


@pytest.mark.parametrize("kind", ["Deployment", "Job", "PodDisruptionBudget", "PodMonitor", "Service"])
def test_a_wrong_manifest_is_refused(kind: str) -> None:
    """An unknown field is found in every kind, those of operators too: the check can fail."""
    (faulty,) = [deepcopy(each) for each in kubernetes_objects() if each["kind"] == kind]
    faulty["spec"]["selektor"] = {}
    (problem,) = lint.object_problems(faulty, lint.KUBERNETES_VERSIONS[0])
    assert "selektor" in problem


def test_old_compose_understands_the_keys() -> None:
    """docker-compose 1.29 refuses `name` and whatever came after it."""
    for file in COMPOSE_FILES:
        keys = yaml.safe_load(file.read_text()).keys()
        assert {key for key in keys if not key.startswith("x-")} <= {"services", "volumes"}


def test_every_variable_is_a_setting() -> None:
    """Whatever the image is given is a name that upsertd reads."""
    known = known_names()
    for place, variables in environments().items():
        assert variables.keys() <= known, place
        assert variables, place


@pytest.mark.parametrize("place", ["upsertd", "config map"])
def test_the_settings_load(place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The service starts with what the compose file and the config map set."""
    variables = dict(environments()[place])
    secrets = {"DATABASE_URL_FILE": "mysql://a:b@db/upsertd", "REDIS_URL_FILE": "redis://redis:6379/0"}
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name in secrets.keys() & variables.keys():
        file = tmp_path / name
        file.write_text(secrets[name])
        variables[name] = str(file)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    monkeypatch.undo()
    assert settings.kafka.bootstrap_servers
    assert settings.redis.connection_url is not None


def test_a_stop_has_the_time_that_it_takes() -> None:
    """Compose and Kubernetes wait for longer than the service drains."""
    compose = compose_services(WHOLE)["upsertd"]
    pod = kubernetes_object("Deployment")["spec"]["template"]["spec"]
    drains = [
        SHUTDOWN_SECONDS,
        *(int(each.get("SHUTDOWN_TIMEOUT_SECONDS", 0)) for each in environments().values()),
    ]
    assert int(compose["stop_grace_period"].removesuffix("s")) > max(drains) + 5
    assert pod["terminationGracePeriodSeconds"] > max(drains) + 5


def test_everybody_knows_the_user() -> None:
    """The image's user has one number, and the pods run as that."""
    user, group = map(int, image_user().split(":"))
    made = " ".join(instructions("RUN"))
    assert f"groupadd --gid {group} " in made
    assert f"useradd --uid {user} --gid {group} " in made
    for pod in pod_templates():
        context = pod["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (user, group, group)
        assert context["runAsNonRoot"] is True
    assert not any("user" in compose_services(WHOLE)[name] for name in OURS)


def test_everybody_knows_the_port() -> None:
    """The default of the setting is what the image exposes, its health check asks and the others reach."""
    (container,) = kubernetes_object("Deployment")["spec"]["template"]["spec"]["containers"]
    (named,) = container["ports"]
    (published,) = compose_services(WHOLE)["upsertd"]["ports"]
    (opened,) = kubernetes_object("NetworkPolicy")["spec"]["ingress"]
    assert image_port() == HTTP_PORT
    assert f"os.environ.get('HTTP_PORT') or {HTTP_PORT})" in instructions("HEALTHCHECK")[-1]
    assert named["containerPort"] == HTTP_PORT
    assert {
        container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "liveness", "readiness")
    } == {named["name"]}
    assert [each["port"] for each in opened["ports"]] == [HTTP_PORT]
    assert str(published).endswith(f":{HTTP_PORT}")
    scraped = yaml.safe_load((CHECKOUT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    (discovery,) = scraped["scrape_configs"][0]["dns_sd_configs"]
    assert (discovery["names"], discovery["port"]) == (["upsertd"], HTTP_PORT)


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_tells_live_from_stuck(status: int, code: int) -> None:
    """The image's health check fails when `/health/live` does not answer 200."""

    class Live(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health/live" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    _, *command = json.loads(instructions("HEALTHCHECK")[-1].partition("CMD ")[2])
    with HTTPServer(("127.0.0.1", 0), Live) as server:
        answering = Thread(target=server.handle_request)
        answering.start()
        environment = {"HTTP_PORT": str(server.server_port)}
        done = subprocess.run([sys.executable, *command], env=environment, check=False, timeout=30)
        answering.join()
    assert done.returncode == code


def test_only_this_machine_reaches_the_ports() -> None:
    """Compose publishes on 127.0.0.1 alone: some of the servers have no password."""
    for file in COMPOSE_FILES:
        for name, service in compose_services(file).items():
            for port in service.get("ports", ()):
                assert str(port).startswith("127.0.0.1:"), name


def test_our_containers_have_no_rights() -> None:
    """Read-only, no capability and no way to one, in compose and in Kubernetes."""
    for name in OURS:
        service = compose_services(WHOLE)[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
    for pod in pod_templates():
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_selectors_find_the_consumers() -> None:
    """Whatever selects pods selects those of the deployment, and not those of the job."""
    labels = kubernetes_object("Deployment")["spec"]["template"]["metadata"]["labels"]
    other = kubernetes_object("Job", "upsertd-migrate")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        kubernetes_object("Deployment")["spec"]["selector"]["matchLabels"],
        kubernetes_object("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        kubernetes_object("PodMonitor")["spec"]["selector"]["matchLabels"],
        kubernetes_object("Service")["spec"]["selector"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= other.items()


def test_the_kustomization_lists_every_manifest() -> None:
    """A manifest that is in the folder is applied."""
    file = KUBERNETES / "kustomization.yaml"
    listed = set(yaml.safe_load(file.read_text())["resources"])
    assert listed == {each.name for each in KUBERNETES.glob("*.yaml")} - {file.name}


def test_versions_agree() -> None:
    """The image's label and the manifests name the version of the package."""
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    (image,) = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["images"]
    assert f'image.version="{version}"' in instructions("LABEL")[-1]
    assert image["newTag"] == version


def test_the_image_gets_every_file_that_it_copies() -> None:
    """What the Dockerfile copies is there, and .dockerignore lets that through and nothing else."""
    copied = {
        source
        for instruction in instructions("COPY")
        if "--from" not in instruction
        for source in instruction.replace("--chmod=755 ", "").split()[:-1]
    }
    allowed = re.findall(r"^!(.+)$", (CHECKOUT / ".dockerignore").read_text(), re.MULTILINE)
    assert all((CHECKOUT / source).exists() for source in copied)
    assert {
        source for source in copied if not any(Path(source).is_relative_to(each) for each in allowed)
    } == set()
    assert {
        each for each in allowed if not any(Path(source).is_relative_to(each) for source in copied)
    } == set()


def test_the_entrypoint_can_be_run() -> None:
    """The files that containers run are executable, as they are in a checkout."""
    scripts = [CHECKOUT / "deploy" / "container" / "entrypoint", STAND_INS / "kafka-entrypoint"]
    assert all(script.stat().st_mode & stat.S_IXUSR for script in scripts)


def test_every_image_has_a_stand_in() -> None:
    """Where nothing can be pulled, the container check makes each image by hand."""
    names = {image.rpartition("/")[2].partition(":")[0] for image in compose_images()}
    assert names == {file.stem for file in STAND_INS.glob("*.Dockerfile")}
    assert not any(image.endswith(":latest") or ":" not in image for image in compose_images())
