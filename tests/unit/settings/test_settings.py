"""Flags before environment before defaults, and what is refused."""

from pathlib import Path

import pytest
from canaryrollout.settings import SettingsError, load, options

URL = {"prometheus_url": "http://prometheus.monitoring:9090"}


def test_only_the_url_of_prometheus_is_required() -> None:
    settings = load(URL, {})
    assert settings.prometheus.url == URL["prometheus_url"]
    assert settings.prometheus.poll_interval == 5.0
    assert settings.istio.root_namespace == "istio-system"
    assert settings.istio.debug_port == 15014
    assert settings.watch_namespaces == ()
    assert settings.leader_election
    with pytest.raises(SettingsError, match="--prometheus-url: is required"):
        load({}, {})


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_default() -> None:
    environment = {"CANARYROLLOUT_PROMETHEUS_URL": "http://a:9090", "CANARYROLLOUT_LOG_LEVEL": "debug"}
    assert load({}, environment).prometheus.url == "http://a:9090"
    settings = load({"prometheus_url": "http://b:9090", "log_level": None}, environment)
    assert settings.prometheus.url == "http://b:9090"
    assert settings.log.level == "debug"


def test_an_empty_variable_or_list_counts_as_not_given() -> None:
    settings = load(URL | {"watch_namespaces": []}, {"CANARYROLLOUT_PROMETHEUS_CA_FILE": "", "CANARYROLLOUT_WATCH_NAMESPACES": "a, b"})
    assert settings.prometheus.ca_file is None
    assert settings.watch_namespaces == ("a", "b")


def test_durations_paths_and_switches_are_parsed() -> None:
    settings = load(
        URL | {"prometheus_poll_interval": "500ms", "prometheus_bearer_token_file": "/var/run/token"},
        {"CANARYROLLOUT_LEADER_ELECTION": "false", "CANARYROLLOUT_RESYNC_INTERVAL": "1m30s"},
    )
    assert settings.prometheus.poll_interval == 0.5
    assert settings.prometheus.bearer_token_file == Path("/var/run/token")
    assert settings.leader_election is False
    assert settings.resync_interval == 90.0


def test_headers_are_name_value_pairs_and_stay_out_of_the_representation() -> None:
    given = ["X-Scope-OrgID=team", "Authorization=Basic c2VjcmV0"]
    settings = load(URL | {"prometheus_headers": given}, {})
    assert settings.prometheus.headers == {"X-Scope-OrgID": "team", "Authorization": "Basic c2VjcmV0"}
    assert "c2VjcmV0" not in repr(settings)
    with pytest.raises(SettingsError, match=r"--prometheus-headers: .* not of the form NAME=VALUE"):
        load(URL | {"prometheus_headers": ["nonsense"]}, {})


def test_queries_may_carry_further_parameters() -> None:
    settings = load(URL | {"prometheus_parameters": ["dedup=true", "storeMatch[]=x=y"]}, {})
    assert settings.prometheus.parameters == {"dedup": "true", "storeMatch[]": "x=y"}


def test_custom_queries_are_off_unless_the_admin_says_so() -> None:
    assert load(URL, {}).metrics.allow_custom_queries is False
    assert load(URL | {"metrics_allow_custom_queries": True}, {}).metrics.allow_custom_queries
    assert load(URL, {"CANARYROLLOUT_METRICS_TEMPLATES_FILE": "/t.yaml"}).metrics.templates_file == Path("/t.yaml")


def test_a_pod_knows_its_namespace_and_its_name() -> None:
    settings = load(URL, {"POD_NAME": "operator-0", "POD_NAMESPACE": "canary"})
    assert (settings.identity, settings.namespace, settings.lease.namespace) == ("operator-0", "canary", "canary")


def test_two_processes_outside_pods_have_two_identities() -> None:
    assert load(URL, {}).identity != load(URL, {}).identity


def test_pods_are_read_where_rollouts_and_where_proxies_are() -> None:
    assert load(URL | {"proxy_namespaces": ["gateways"]}, {}).namespaces_with_proxies == ()
    settings = load(URL | {"watch_namespaces": ["shop"], "proxy_namespaces": ["gateways", "shop"]}, {})
    assert settings.namespaces_with_proxies == ("shop", "gateways")


def test_the_lease_may_live_in_another_namespace() -> None:
    settings = load(URL | {"lease_namespace": "leases"}, {"POD_NAMESPACE": "canary"})
    assert (settings.namespace, settings.lease.namespace) == ("canary", "leases")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"prometheus_url": "prometheus:9090"}, "--prometheus-url: must be an http or https URL"),
        ({"prometheus_url": "file:///etc/passwd"}, "--prometheus-url: must be an http or https URL"),
        ({"prometheus_url": "http://p:9090?x=1"}, "--prometheus-url: must not carry a query"),
        ({"prometheus_parameters": ["timeout=1h"]}, "--prometheus-parameters: timeout: the operator sets this itself"),
        ({"prometheus_parameters": ["a b=1"]}, "--prometheus-parameters: .* not of the form NAME=VALUE"),
        ({"prometheus_basic_auth_user": "me"}, "--prometheus-basic-auth-password-file belong together"),
        ({"prometheus_basic_auth_password_file": "/p"}, "--prometheus-basic-auth-password-file belong together"),
        ({"prometheus_basic_auth_user": "a:b", "prometheus_basic_auth_password_file": "/p"}, "--prometheus-basic-auth-user: "),
        (
            {"prometheus_basic_auth_user": "me", "prometheus_basic_auth_password_file": "/p", "prometheus_bearer_token_file": "/t"},
            "give one of the two",
        ),
        ({"metrics_allow_custom_queries": "perhaps"}, "--metrics-allow-custom-queries: "),
        ({"prometheus_poll_interval": "0s"}, "--prometheus-poll-interval: .* greater than 0"),
        ({"prometheus_poll_interval": "often"}, "--prometheus-poll-interval: .* write a number and a unit"),
        ({"watch_namespaces": ["UPPER"]}, "--watch-namespaces: "),
        ({"istio_debug_port": 70000}, "--istio-debug-port: "),
        ({"log_format": "xml"}, "--log-format: "),
        ({"lease_duration": "5s"}, "--lease-renew-deadline must be shorter than --lease-duration"),
        ({"lease_duration": "10s"}, "--lease-renew-deadline must be shorter than --lease-duration, .*: they are 10s and 10s"),
        ({"lease_retry_period": "10s"}, "--lease-retry-period must be shorter than --lease-renew-deadline, .*: they are 10s and 10s"),
        ({"lease_retry_period": "1h30m"}, "--lease-retry-period must be shorter than --lease-renew-deadline, .*: they are 1h30m and 10s"),
        ({"lease_renew_deadline": "2s"}, "--lease-retry-period must be shorter than --lease-renew-deadline, .*: they are 2s and 2s"),
        ({"colour": "red"}, "unknown settings: colour"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_flag(flags: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(URL | flags, {})


def test_times_of_the_lease_that_leave_room_for_a_try_are_taken() -> None:
    lease = load(URL | {"lease_duration": "3s", "lease_renew_deadline": "2999ms", "lease_retry_period": "2998ms"}, {}).lease
    assert (lease.duration, lease.renew_deadline, lease.retry_period) == (3.0, 2.999, 2.998)


def test_a_refused_url_with_a_password_is_not_repeated() -> None:
    with pytest.raises(SettingsError, match="must not carry a user name or password") as refused:
        load({"prometheus_url": "http://user:hunter2@p:9090"}, {})
    assert "hunter2" not in str(refused.value)


def test_every_setting_has_a_flag_a_variable_and_a_description() -> None:
    found = {option.name: option for option in options()}
    assert found["prometheus_url"].flag == "--prometheus-url"
    assert found["prometheus_url"].variable == "CANARYROLLOUT_PROMETHEUS_URL"
    assert found["server_metrics_port"].default == 8082
    assert all(option.description.endswith(".") for option in found.values())
