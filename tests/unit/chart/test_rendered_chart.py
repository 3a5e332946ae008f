"""What the chart renders, with its defaults and with every switch on."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from canaryrollout import __version__, settings
from canaryrollout.api import crd
from canaryrollout.metrics.custom import read_templates
from canaryrollout.telemetry import Metrics
from chartkit import CHART, KUBE_VERSION, HelmError, helm, rbac_only, render

Object = dict[str, Any]

EVERYTHING: Object = {
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "podMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
    },
    "networkPolicy": {"egress": {"enabled": True}},
    "prometheus": {
        "headers": {"X-Scope-OrgID": "team"},
        "parameters": {"dedup": "true"},
        "bearerToken": {"secretName": "prometheus-token"},
        "ca": {"configMapName": "prometheus-ca"},
    },
    "customMetrics": {
        "templates": {
            "checkout": {"bad": 'sum(failed{ns="{{namespace}}"}) or vector(0)', "total": "sum(all)", "maxRate": "1%"},
            "queue": {"description": "Orders that wait.", "value": "sum(depth)", "max": 1_000_000},
        },
        "allowQueries": True,
    },
    "takeoverManagers": ["kubectl-edit", "kubectl-patch"],
    "commonLabels": {"team": "mesh"},
    "imagePullSecrets": [{"name": "pull"}],
    "tolerations": [{"operator": "Exists"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "affinity": {"nodeAffinity": {}},
    "extraArgs": ["--resync-interval=1m"],
    "extraEnv": [{"name": "A", "value": "b"}],
    "extraVolumes": [{"name": "extra", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra"}],
    "priorityClassName": "system-cluster-critical",
}
BASIC_AUTH: Object = {"prometheus": {"basicAuth": {"user": "operator", "secretName": "prometheus-password"}}}
NAMESPACED: Object = {"watchNamespaces": ["shop", "search"], "proxyNamespaces": ["gateways"]}


def of_kind(manifests: list[Object], kind: str) -> list[Object]:
    return [found for found in manifests if found["kind"] == kind]


def only(manifests: list[Object], kind: str) -> Object:
    (found,) = of_kind(manifests, kind)
    return found


def pod_spec(manifests: list[Object]) -> Object:
    spec: Object = only(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(manifests: list[Object]) -> Object:
    (found,) = pod_spec(manifests)["containers"]
    return dict(found)


def chart_values() -> Object:
    values: Object = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


@pytest.mark.parametrize("values", [{}, EVERYTHING, NAMESPACED], ids=["defaults", "everything", "namespaced"])
def test_helm_lint_finds_nothing(tmp_path: Path, values: Object) -> None:
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values))
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), "--values", str(path))


def test_the_chart_has_the_version_of_the_program() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def test_names_of_a_release_do_not_meet_those_of_a_release_of_the_same_name_elsewhere() -> None:
    """Objects outside the release's namespace; the reader's ServiceAccount is meant to be shared."""

    def outside(namespace: str) -> set[tuple[str, str, str]]:
        found = render(NAMESPACED, namespace=namespace)
        keys = {(o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]) for o in found}
        return {key for key in keys if key[1] != namespace and key[0] not in ("CustomResourceDefinition", "ServiceAccount")}

    assert outside("one") & outside("two") == set()


# The definition


def test_the_definition_is_installed_and_kept_by_default() -> None:
    found = only(render(), "CustomResourceDefinition")
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert found["spec"] == crd.custom_resource_definition()["spec"]


def test_the_definition_can_be_removed_with_the_release() -> None:
    assert "annotations" not in only(render({"crds": {"keep": False}}), "CustomResourceDefinition")["metadata"]


def test_the_definition_can_be_left_out() -> None:
    assert of_kind(render({"crds": {"enabled": False}}), "CustomResourceDefinition") == []


# The Deployment


def test_the_pod_satisfies_the_restricted_standard() -> None:
    """Also put to the API server's own admission in tests/contract."""
    manifests = render()
    assert pod_spec(manifests)["securityContext"]["runAsNonRoot"] is True
    assert pod_spec(manifests)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    context = container(manifests)["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert pod_spec(manifests)["enableServiceLinks"] is False


@pytest.mark.parametrize("values", [{}, EVERYTHING, NAMESPACED, BASIC_AUTH], ids=["defaults", "everything", "namespaced", "basic auth"])
def test_the_operator_understands_its_arguments(values: Object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every argument is a flag of a setting, and the settings they make are accepted."""
    by_flag = {option.flag: option for option in settings.options()}
    command, *arguments = container(render(values))["args"]
    assert command == "operator"
    flags: Object = {}
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        option = by_flag[flag]
        if isinstance(option.default, tuple | dict):
            flags.setdefault(option.name, []).append(value)
        else:
            flags[option.name] = value if equals else True
    loaded = settings.load(flags, {"POD_NAME": "operator-0", "POD_NAMESPACE": "canaryrollout-system"})
    assert list(loaded.watch_namespaces) == values.get("watchNamespaces", [])
    if values is EVERYTHING:
        assert loaded.prometheus.headers == {"X-Scope-OrgID": "team"}
        assert str(loaded.prometheus.bearer_token_file) == "/var/run/prometheus-token/token"
        assert loaded.prometheus.parameters == {"dedup": "true"}
        assert str(loaded.metrics.templates_file) == "/etc/canaryrollout/metrics/templates.yaml"
        assert loaded.metrics.allow_custom_queries
        assert loaded.takeover_managers == ("kubectl-edit", "kubectl-patch")
        assert loaded.resync_interval == 60.0
    if values is BASIC_AUTH:
        assert loaded.prometheus.basic_auth_user == "operator"
        assert str(loaded.prometheus.basic_auth_password_file) == "/var/run/prometheus-password/password"


def test_the_operator_works_with_the_names_of_its_role() -> None:
    manifests = render()
    (lease_rule,) = [
        rule for role in of_kind(manifests, "Role") for rule in role["rules"] if rule["resources"] == ["leases"] and "resourceNames" in rule
    ]
    assert f"--lease-name={lease_rule['resourceNames'][0]}" in container(manifests)["args"]
    # What runs outside a pod, with the defaults of the program and the rights of the chart, works as well.
    default = settings.load({"prometheus_url": "http://p"}, {})
    assert lease_rule["resourceNames"] == [default.lease.name]
    token_rule = next(
        rule for role in of_kind(manifests, "Role") for rule in role["rules"] if rule["resources"] == ["serviceaccounts/token"]
    )
    assert token_rule["resourceNames"] == [default.istio.reader_service_account]


def test_probes_ask_ports_that_exist() -> None:
    found = container(render())
    names = {port["name"] for port in found["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert found[probe]["httpGet"]["port"] in names
    ports = {port["name"]: port["containerPort"] for port in found["ports"]}
    assert f"--server-health-port={ports['health']}" in found["args"]
    assert f"--server-metrics-port={ports['metrics']}" in found["args"]


def test_the_templates_of_custom_metrics_reach_the_operator(tmp_path: Path) -> None:
    (mounted,) = [found for found in of_kind(render(EVERYTHING), "ConfigMap") if "templates.yaml" in found["data"]]
    path = tmp_path / "templates.yaml"
    path.write_text(mounted["data"]["templates.yaml"])
    templates = read_templates(path)
    assert templates["checkout"].bad == 'sum(failed{ns="{{namespace}}"}) or vector(0)'
    assert templates["queue"].max == 1e6
    volumes = {volume["name"]: volume for volume in pod_spec(render(EVERYTHING))["volumes"]}
    assert volumes["metric-templates"]["configMap"]["name"] == mounted["metadata"]["name"]


def test_other_templates_restart_the_operator() -> None:
    def annotations(limit: int) -> Object:
        values = {"customMetrics": {"templates": {"queue": {"value": "sum(depth)", "max": limit}}}}
        return dict(only(render(values), "Deployment")["spec"]["template"]["metadata"]["annotations"])

    assert annotations(1) != annotations(2)
    assert annotations(1) == annotations(1)


@pytest.mark.parametrize("template", [{"bad": "x"}, {"bad": "x", "total": "y", "value": "z"}, {"value": "x", "limit": 1}])
def test_templates_that_cannot_be_meant_are_refused(template: Object) -> None:
    with pytest.raises(HelmError, match="queue"):
        render({"customMetrics": {"templates": {"queue": template}}})


@pytest.mark.parametrize("values", [EVERYTHING, BASIC_AUTH], ids=["everything", "basic auth"])
def test_every_mount_has_its_volume(values: Object) -> None:
    manifests = render(values)
    mounts = {mount["name"] for mount in container(manifests)["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod_spec(manifests)["volumes"]}
    assert "/tmp" in {mount["mountPath"] for mount in container(manifests)["volumeMounts"]}


def test_a_digest_wins_over_a_tag() -> None:
    digest = "sha256:" + "a" * 64
    assert container(render({"image": {"digest": digest, "tag": "x"}}))["image"] == f"canaryrollout/operator@{digest}"
    assert container(render())["image"] == f"canaryrollout/operator:{__version__}"


def test_the_operator_gets_no_sidecar() -> None:
    labels = only(render(), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels["sidecar.istio.io/inject"] == "false"


class _OnceLoader(yaml.SafeLoader):
    """Refuses a key that comes twice, as Flux and kustomize do."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Object:
        found: Object = super().construct_mapping(node, deep=deep)
        assert len(found) == len(node.value), [key.value for key, _ in node.value]
        return found


def test_labels_that_are_given_twice_are_written_once_the_narrower_ones(tmp_path: Path) -> None:
    values = {
        "commonLabels": {"team": "all"},
        "podLabels": {"team": "pods"},
        "podAnnotations": {"kubectl.kubernetes.io/default-container": "other"},
        "metrics": {
            **{name: {"enabled": True, "labels": {"team": name}} for name in ("serviceMonitor", "podMonitor", "prometheusRule")},
            "dashboards": {"enabled": True, "label": "team", "labelValue": "dashboards"},
        },
    }
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values))
    text = helm("template", "x", str(CHART), "--kube-version", KUBE_VERSION, "-f", str(path))
    objects = [found for found in yaml.load_all(text, _OnceLoader) if found]
    teams = {found["metadata"]["labels"]["team"] for found in objects if found["kind"] != "Pod"}
    assert teams == {"all", "serviceMonitor", "podMonitor", "prometheusRule", "dashboards"}
    assert only(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]["team"] == "pods"
    assert only(objects, "Deployment")["spec"]["template"]["metadata"]["annotations"] == {
        "kubectl.kubernetes.io/default-container": "other"
    }


def test_names_that_yaml_would_take_for_numbers_or_truths_stay_names() -> None:
    values = {"watchNamespaces": ["123", "on"], "proxyNamespaces": ["1e3"], "istio": {"rootNamespace": "no"}}
    values |= {"networkPolicy": {"egress": {"enabled": True}}}
    for found in render(values, release="456", namespace="789", tests=True):
        metadata = found["metadata"]
        assert isinstance(metadata.get("namespace", ""), str), found
        assert all(isinstance(value, str) for value in metadata.get("labels", {}).values()), found
        assert all(isinstance(subject["namespace"], str) for subject in found.get("subjects", [])), found
    spec = only(render(values, release="456", namespace="789"), "NetworkPolicy")["spec"]
    assert spec["egress"][-1]["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "no"}}}]


def test_objects_and_what_they_refer_to_may_be_called_like_numbers() -> None:
    ca, password, token = {"configMapName": "1"}, {"user": "u", "secretName": "2"}, {"secretName": "3"}
    values = {"fullnameOverride": "123", "serviceAccount": {"name": "1e3"}, "istio": {"readerServiceAccount": {"name": "no"}}}
    for prometheus in ({"ca": ca, "basicAuth": password}, {"bearerToken": token}):
        objects = render({**values, "priorityClassName": "4", "prometheus": prometheus}, tests=True)
        assert all(isinstance(found["metadata"]["name"], str) for found in objects)
        assert all(isinstance(subject["name"], str) for found in objects for subject in found.get("subjects", []))
        spec = only(objects, "Deployment")["spec"]["template"]["spec"]
        assert (spec["serviceAccountName"], spec["priorityClassName"]) == ("1e3", "4")
        referred = [source for volume in spec["volumes"] for kind, source in volume.items() if kind in {"secret", "configMap"}]
        assert {str} == {type(source.get("secretName", source.get("name"))) for source in referred}


def test_helm_test_may_read_the_metrics_where_only_some_may() -> None:
    allowed = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    objects = render({"networkPolicy": {"metricsFrom": [allowed]}}, tests=True)
    (_, metrics) = only(objects, "NetworkPolicy")["spec"]["ingress"]
    first, second = metrics["from"]
    assert first == allowed
    assert second["podSelector"]["matchLabels"].items() <= only(objects, "Pod")["metadata"]["labels"].items()


def test_selectors_match_the_pods() -> None:
    manifests = render(EVERYTHING)
    labels = only(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        only(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
        only(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        only(manifests, "Service")["spec"]["selector"],
        only(manifests, "PodMonitor")["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
    service_labels = only(manifests, "Service")["metadata"]["labels"]
    assert only(manifests, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items() <= service_labels.items()


def test_one_operator_needs_no_disruption_budget() -> None:
    assert of_kind(render({"replicas": 1}), "PodDisruptionBudget") == []
    assert only(render(), "PodDisruptionBudget")["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


# Rights


def rules(manifests: list[Object], *kinds: str) -> list[Object]:
    return [rule for found in manifests if found["kind"] in kinds for rule in found["rules"]]


@pytest.mark.parametrize("values", [{}, NAMESPACED], ids=["cluster", "namespaced"])
def test_nothing_may_be_deleted_or_done_to_everything(values: Object) -> None:
    manifests = [o for o in rbac_only(render(values)) if not o["metadata"]["name"].endswith("-edit")]
    for rule in rules(manifests, "Role", "ClusterRole"):
        assert not {"delete", "deletecollection", "*", "escalate", "bind", "impersonate"} & set(rule["verbs"])
        assert "*" not in rule["resources"] + rule["apiGroups"]
        assert "secrets" not in rule["resources"]


def test_tokens_are_issued_for_one_account_that_has_no_rights() -> None:
    manifests = render()
    (rule,) = [rule for rule in rules(manifests, "Role", "ClusterRole") if "serviceaccounts/token" in rule["resources"]]
    assert rule["resourceNames"] == ["canaryrollout-mesh-reader"]
    subjects = [subject["name"] for found in manifests if found["kind"].endswith("Binding") for subject in found["subjects"]]
    assert "canaryrollout-mesh-reader" not in subjects
    (reader,) = [o for o in of_kind(manifests, "ServiceAccount") if o["metadata"]["name"] == "canaryrollout-mesh-reader"]
    assert reader["metadata"]["namespace"] == "istio-system"
    assert reader["automountServiceAccountToken"] is False


def test_watched_namespaces_get_roles_and_the_operator_no_cluster_role() -> None:
    manifests = render(NAMESPACED)
    assert of_kind(manifests, "ClusterRoleBinding") == []
    namespaces = {o["metadata"]["namespace"] for o in of_kind(manifests, "RoleBinding")}
    assert namespaces == {"shop", "search", "gateways", "istio-system", "canaryrollout-system"}
    (gateways,) = [o for o in of_kind(manifests, "Role") if o["metadata"]["namespace"] == "gateways"]
    assert {verb for rule in gateways["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}


READ_BY_PREFLIGHT = {"virtualservices", "destinationrules", "services"} | {
    "gateways",
    "serviceentries",
    "sidecars",
    "envoyfilters",
    "peerauthentications",
}


def test_what_preflight_looks_at_may_be_listed_everywhere_or_where_roles_reach() -> None:
    (operator,) = [o for o in of_kind(render(), "ClusterRole") if o["metadata"]["name"] == "canaryrollout-canaryrollout-system"]
    assert {resource for rule in operator["rules"] if "list" in rule["verbs"] for resource in rule["resources"]} >= READ_BY_PREFLIGHT
    roles = of_kind(render(NAMESPACED), "Role")
    for namespace in ("shop", "search", "gateways", "istio-system"):
        found = [rule for role in roles if role["metadata"]["namespace"] == namespace for rule in role["rules"]]
        assert {resource for rule in found if "list" in rule["verbs"] for resource in rule["resources"]} >= READ_BY_PREFLIGHT, namespace


@pytest.mark.parametrize("values", [{}, NAMESPACED], ids=["cluster", "namespaced"])
def test_of_all_config_maps_only_istio_s_own_may_be_read(values: Object) -> None:
    found = [
        (role["metadata"].get("namespace"), rule)
        for role in rbac_only(render(values))
        for rule in role.get("rules", ())
        if "configmaps" in rule["resources"]
    ]
    assert found == [("istio-system", {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["istio"], "verbs": ["get"]})]


@pytest.mark.parametrize("values", [{}, NAMESPACED], ids=["cluster", "namespaced"])
def test_the_surroundings_may_not_be_written(values: Object) -> None:
    reached = {"gateways", "serviceentries", "sidecars", "envoyfilters", "peerauthentications", "configmaps"}
    for rule in rules(rbac_only(render(values)), "Role", "ClusterRole"):
        if reached & set(rule["resources"]):
            assert set(rule["verbs"]) <= {"get", "list"}


def test_a_namespace_that_is_watched_and_has_proxies_gets_one_role() -> None:
    manifests = render({"watchNamespaces": ["shop"], "proxyNamespaces": ["shop", "istio-system"]})
    keys = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in rbac_only(manifests)]
    assert len(keys) == len(set(keys))
    assert not any("-proxies" in key[2] for key in keys)


def test_port_forward_is_no_right_of_the_operator_by_default() -> None:
    for values in ({}, NAMESPACED):
        assert not any("pods/portforward" in rule["resources"] for rule in rules(render(values), "Role", "ClusterRole"))


def test_reading_envoys_adds_port_forward_where_proxies_may_be() -> None:
    verify = {"istio": {"verifyEnvoys": True}}

    def allowed_in(values: Object) -> set[str | None]:
        roles = [o for o in rbac_only(render(values)) if o["kind"] in ("Role", "ClusterRole")]
        forward = {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]}
        return {o["metadata"].get("namespace") for o in roles if forward in o["rules"]}

    assert allowed_in(verify) == {None}
    assert allowed_in({**verify, **NAMESPACED}) == {"shop", "search", "gateways"}
    assert allowed_in({**verify, "watchNamespaces": ["shop"], "proxyNamespaces": ["istio-system"]}) == {"shop", "istio-system"}


def test_bindings_name_existing_roles_and_the_operator_s_account() -> None:
    for values in ({}, NAMESPACED, {"serviceAccount": {"name": "robot"}}):
        manifests = rbac_only(render(values))
        roles = {(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in manifests}
        account = values.get("serviceAccount", {}).get("name", "canaryrollout")  # type: ignore[attr-defined]
        for binding in (o for o in manifests if o["kind"].endswith("Binding")):
            kind = binding["roleRef"]["kind"]
            namespace = binding["metadata"].get("namespace") if kind == "Role" else None
            assert (kind, namespace, binding["roleRef"]["name"]) in roles
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "canaryrollout-system"}]


def test_users_who_may_edit_may_not_write_the_status() -> None:
    manifests = render()
    (edit,) = [o for o in of_kind(manifests, "ClusterRole") if o["metadata"]["name"].endswith("-edit")]
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert all(rule["resources"] == ["canaryrollouts"] for rule in edit["rules"])


# Values


def test_values_and_their_schema_name_the_same_things() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert _paths_of_values(chart_values()) == _paths_of_schema(schema) - {"global"}


def _paths_of_values(values: Object, prefix: str = "") -> set[str]:
    free = {"podLabels", "podAnnotations", "resources", "podSecurityContext", "securityContext"}
    found = set()
    for name, value in values.items():
        path = f"{prefix}{name}"
        deeper = isinstance(value, dict) and value and path not in free
        found |= _paths_of_values(value, f"{path}.") if deeper else {path}
    return found


def _paths_of_schema(schema: Object, prefix: str = "") -> set[str]:
    found = set()
    for name, value in schema["properties"].items():
        path = f"{prefix}{name}"
        found |= _paths_of_schema(value, f"{path}.") if "properties" in value else {path}
    return found


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 1},
        {"replicas": "two"},
        {"prometheus": {"url": "prometheus:9090"}},
        {"prometheus": {"url": "http://user:password@prometheus:9090"}},
        {"prometheus": {"pollInterval": "5"}},
        {"watchNamespaces": ["Upper"]},
        {"image": {"digest": "latest"}},
        {"logs": {"level": "loud"}},
        {"commonLabels": {"app.kubernetes.io/version": "mine"}},
        {"podLabels": {"app.kubernetes.io/name": "mine"}},
        {"podDisruptionBudget": {"maxUnavailable": "some"}},
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: Object) -> None:
    with pytest.raises(HelmError, match="values don't meet the specifications of the schema"):
        render(values)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({"leaseDuration": "10s"}, "leaderElection.renewDeadline (10s) must be shorter than leaderElection.leaseDuration (10s)"),
        ({"renewDeadline": "1m"}, "leaderElection.renewDeadline (1m) must be shorter than leaderElection.leaseDuration (15s)"),
        ({"retryPeriod": "10000ms"}, "leaderElection.retryPeriod (10000ms) must be shorter than leaderElection.renewDeadline (10s)"),
        ({"retryPeriod": "0h9s1001ms"}, "leaderElection.retryPeriod (0h9s1001ms) must be shorter than leaderElection.renewDeadline (10s)"),
    ],
)
def test_times_of_the_lease_that_the_operator_would_refuse_are_refused_before(times: Object, said: str) -> None:
    with pytest.raises(HelmError, match=re.escape(said)):
        render({"leaderElection": times})


def test_times_of_the_lease_may_be_written_in_any_unit() -> None:
    times = {"leaseDuration": "1m", "renewDeadline": "045s", "retryPeriod": "44s999ms"}
    assert {"--lease-duration=1m", "--lease-renew-deadline=045s", "--lease-retry-period=44s999ms"} <= set(
        container(render({"leaderElection": times}))["args"]
    )


def test_without_prometheus_nothing_is_rendered() -> None:
    with pytest.raises(HelmError):
        render({"prometheus": {"url": ""}})


def test_every_value_is_explained() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    unexplained = [
        line
        for before, line in itertools.pairwise(lines)
        if re.match(r"^ *[A-Za-z]+: \S", line) and not before.strip().startswith("# --") and not _inside_default(line)
    ]
    assert unexplained == []


def _inside_default(line: str) -> bool:
    """Lines of the three multi-line defaults, which are explained as a whole."""
    names = "cpu|memory|runAsNonRoot|runAsUser|runAsGroup|fsGroup|type|allowPrivilegeEscalation|readOnlyRootFilesystem|drop"
    return re.match(rf"^ +({names}):", line) is not None


# Observability


def known_metrics() -> set[str]:
    names = set()
    for family in Metrics().registry.collect():
        names.add(family.name)
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ())
        names |= {family.name + suffix for suffix in suffixes}
    return names


def test_alerts_use_metrics_that_exist_and_have_a_runbook() -> None:
    (group,) = only(render(EVERYTHING), "PrometheusRule")["spec"]["groups"]
    runbooks = CHART.parents[1] / "docs" / "runbooks"
    for rule in group["rules"]:
        used = set(re.findall(r"canaryrollout_\w+", rule["expr"]))
        assert used
        assert used <= known_metrics()
        assert (runbooks / f"{rule['annotations']['runbook_url'].rsplit('/', 1)[-1]}.md").exists(), rule["alert"]


def test_the_dashboard_uses_metrics_that_exist() -> None:
    found = only(render({"metrics": EVERYTHING["metrics"]}), "ConfigMap")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    dashboard = json.loads(found["data"]["canaryrollout.json"])
    used = {
        name for panel in dashboard["panels"] for target in panel["targets"] for name in re.findall(r"canaryrollout_\w+", target["expr"])
    }
    assert used <= known_metrics()
    gauges = {"canaryrollout_phase", "canaryrollout_weight", "canaryrollout_analysis_evidence", "canaryrollout_info"}
    assert gauges <= used


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    dashboard = json.loads((CHART / "files" / "dashboards" / "canaryrollout.json").read_text())
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        mine = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & mine, panel["title"]
        assert place["x"] + place["w"] <= 24
        cells |= mine


def test_egress_is_limited_only_on_request() -> None:
    assert only(render(), "NetworkPolicy")["spec"]["policyTypes"] == ["Ingress"]
    assert only(render(EVERYTHING), "NetworkPolicy")["spec"]["policyTypes"] == ["Ingress", "Egress"]
