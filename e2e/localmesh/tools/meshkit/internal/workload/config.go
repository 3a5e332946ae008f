package workload

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is what the pod template says about a version of the sample service.
type Config struct {
	Service string // SERVICE
	Version string // VERSION
	Pod     string // POD_NAME; also seeds the fault mix

	ErrorRate float64       // ERROR_RATE, share of the requests that fail, 0..1
	ErrorCode int           // ERROR_CODE, their status; 500
	ErrorGRPC int           // ERROR_GRPC_STATUS, their status where they are gRPC calls; 14
	Burst     int           // BURST, how many failures follow each other; 1
	Latency   time.Duration // LATENCY_MS, added to slow requests
	SlowRate  float64       // SLOW_RATE, share of the requests that are slow, 0..1; 1
	Capacity  float64       // CAPACITY_RPS, requests per second above which requests fail; 0: no limit

	Upstreams []*url.URL // UPSTREAMS, http:// or grpc:// URLs called for each request, separated by commas
	Proxy     *url.URL   // HTTP_PROXY, the sidecar's HTTP proxy port
}

// ConfigFromEnv reads the configuration through getenv, usually os.Getenv.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	env := reader{getenv: getenv}
	config := Config{
		Service:   getenv("SERVICE"),
		Version:   getenv("VERSION"),
		Pod:       getenv("POD_NAME"),
		ErrorRate: env.share("ERROR_RATE", 0),
		ErrorCode: env.integer("ERROR_CODE", http.StatusInternalServerError, 200, 599),
		ErrorGRPC: env.integer("ERROR_GRPC_STATUS", grpcUnavailable, 1, 16),
		Burst:     env.integer("BURST", 1, 1, 1_000_000),
		Latency:   time.Duration(env.integer("LATENCY_MS", 0, 0, 600_000)) * time.Millisecond,
		SlowRate:  env.share("SLOW_RATE", 1),
		Capacity:  env.number("CAPACITY_RPS", 0, 0, 1_000_000),
		Upstreams: env.urls("UPSTREAMS", "http", grpcScheme),
		Proxy:     env.url("HTTP_PROXY"),
	}
	if config.Service == "" {
		env.errs = append(env.errs, errors.New("SERVICE is not set"))
	}
	return config, errors.Join(env.errs...)
}

// reader collects the errors of all variables so that they are reported at once.
type reader struct {
	getenv func(string) string
	errs   []error
}

func (r *reader) fail(name, value, want string) {
	r.errs = append(r.errs, fmt.Errorf("%s=%q: want %s", name, value, want))
}

func (r *reader) share(name string, unset float64) float64 { return r.number(name, unset, 0, 1) }

func (r *reader) number(name string, unset, low, high float64) float64 {
	text := r.getenv(name)
	if text == "" {
		return unset
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || !(value >= low && value <= high) { // so that NaN is refused too
		r.fail(name, text, fmt.Sprintf("a number from %v to %v", low, high))
	}
	return value
}

func (r *reader) integer(name string, unset, low, high int) int {
	text := r.getenv(name)
	if text == "" {
		return unset
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < low || value > high {
		r.fail(name, text, fmt.Sprintf("a whole number from %d to %d", low, high))
	}
	return value
}

func (r *reader) urls(name string, schemes ...string) []*url.URL {
	var urls []*url.URL
	for text := range strings.SplitSeq(r.getenv(name), ",") {
		if text = strings.TrimSpace(text); text != "" {
			urls = append(urls, r.parse(name, text, schemes...))
		}
	}
	return urls
}

func (r *reader) url(name string) *url.URL {
	if text := r.getenv(name); text != "" {
		return r.parse(name, text, "http")
	}
	return nil
}

func (r *reader) parse(name, text string, schemes ...string) *url.URL {
	parsed, err := url.Parse(text)
	if err != nil || !slices.Contains(schemes, parsed.Scheme) || parsed.Host == "" {
		r.fail(name, text, "a URL with "+strings.Join(schemes, ":// or ")+"://")
	}
	return parsed
}
