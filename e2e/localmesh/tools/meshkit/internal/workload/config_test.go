package workload

import (
	"strings"
	"testing"
	"time"
)

func TestConfigDefaults(t *testing.T) {
	config, err := ConfigFromEnv(environment(map[string]string{"SERVICE": "reviews"}))
	if err != nil {
		t.Fatal(err)
	}
	if config.ErrorRate != 0 || config.ErrorCode != 500 || config.Burst != 1 || config.Latency != 0 ||
		config.SlowRate != 1 || config.ErrorGRPC != 14 || config.Capacity != 0 || config.Upstreams != nil || config.Proxy != nil {
		t.Errorf("defaults are %+v", config)
	}
}

func TestConfigReadsEveryVariable(t *testing.T) {
	config, err := ConfigFromEnv(environment(map[string]string{
		"SERVICE": "reviews", "VERSION": "v2", "POD_NAME": "reviews-v2-x", "ERROR_RATE": "0.25", "ERROR_CODE": "503",
		"BURST": "7", "LATENCY_MS": "1500", "SLOW_RATE": "0.1", "UPSTREAMS": "http://a:9080/x, grpc://b/S/M", "ERROR_GRPC_STATUS": "13", "CAPACITY_RPS": "2.5", "HTTP_PROXY": "http://10.244.0.9:15080",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if config.Version != "v2" || config.ErrorRate != 0.25 || config.ErrorCode != 503 || config.Burst != 7 ||
		config.Latency != 1500*time.Millisecond || config.SlowRate != 0.1 ||
		config.ErrorGRPC != 13 || config.Capacity != 2.5 || config.Proxy.Host != "10.244.0.9:15080" {
		t.Errorf("read %+v", config)
	}
	if got := config.Upstreams; len(got) != 2 || got[0].String() != "http://a:9080/x" || got[1].String() != "grpc://b/S/M" {
		t.Errorf("upstreams %q", got)
	}
}

func TestConfigNamesEveryBadVariable(t *testing.T) {
	_, err := ConfigFromEnv(environment(map[string]string{
		"ERROR_RATE": "50%", "ERROR_CODE": "99", "BURST": "0", "LATENCY_MS": "-1", "SLOW_RATE": "NaN", "UPSTREAMS": "reviews:9080", "HTTP_PROXY": "10.0.0.1:15080",
		"ERROR_GRPC_STATUS": "0", "CAPACITY_RPS": "-1",
	}))
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"SERVICE", "ERROR_RATE", "ERROR_CODE", "BURST", "LATENCY_MS", "SLOW_RATE", "UPSTREAMS", "HTTP_PROXY", "ERROR_GRPC_STATUS", "CAPACITY_RPS"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
}

func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}
