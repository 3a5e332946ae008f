package workload

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"
)

// start serves config until the test ends and returns the URL.
func start(t *testing.T, config Config) (url string, stop func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, listener, config) }()
	t.Cleanup(cancel)
	return "http://" + listener.Addr().String(), func() error { cancel(); return <-done }
}

func upstreams(t *testing.T, text string) []*url.URL {
	t.Helper()
	parsed, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return []*url.URL{parsed}
}

func get(t *testing.T, url string, header http.Header) *http.Response {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		request.Header = header
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func TestAnswerNamesServiceVersionAndPod(t *testing.T) {
	url, _ := start(t, Config{Service: "reviews", Version: "v2", Pod: "reviews-v2-x", Burst: 1})
	response := get(t, url+"/anything", nil)
	var body answer
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	if want := (answer{"reviews", "v2", "reviews-v2-x"}); body != want || response.StatusCode != 200 {
		t.Errorf("%d %+v", response.StatusCode, body)
	}
	if version := response.Header.Get("x-reviews-version"); version != "v2" {
		t.Errorf("x-reviews-version: %q", version)
	}
}

func TestFailureCarriesTheVersion(t *testing.T) {
	url, _ := start(t, Config{Service: "reviews", Version: "v3", ErrorRate: 1, ErrorCode: 503, Burst: 1})
	response := get(t, url, nil)
	if response.StatusCode != 503 || response.Header.Get("x-reviews-version") != "v3" {
		t.Errorf("%d %v", response.StatusCode, response.Header)
	}
}

func TestHealthIsNotPartOfTheFaultMix(t *testing.T) {
	url, _ := start(t, Config{Service: "reviews", ErrorRate: 1, ErrorCode: 500, Burst: 1, Latency: time.Hour, SlowRate: 1})
	if response := get(t, url+"/healthz", nil); response.StatusCode != 200 {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestUpstreamsAreCalledAndTheirVersionsCopied(t *testing.T) {
	seen := make(chan http.Header, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		w.Header().Set("x-reviews-version", "v1")
		w.Header().Set("x-other", "not copied")
	}))
	defer upstream.Close()
	url, _ := start(t, Config{Service: "productpage", Version: "v1", Burst: 1, Upstreams: upstreams(t, upstream.URL)})
	response := get(t, url, http.Header{
		"X-Request-Id": {"id-1"}, "Traceparent": {"00-1-2-03"}, "X-B3-Traceid": {"b3"}, "End-User": {"jason"}, "X-Secret": {"no"},
	})
	if response.Header.Get("x-reviews-version") != "v1" || response.Header.Get("x-other") != "" {
		t.Errorf("answer's header %v", response.Header)
	}
	header := <-seen
	for name, want := range map[string]string{"X-Request-Id": "id-1", "Traceparent": "00-1-2-03", "X-B3-Traceid": "b3", "End-User": "jason", "X-Secret": ""} {
		if got := header.Get(name); got != want {
			t.Errorf("upstream saw %s: %q, want %q", name, got, want)
		}
	}
}

func TestFailedUpstreamDecidesTheStatus(t *testing.T) {
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-reviews-version", "v3")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer failing.Close()
	refusing := httptest.NewServer(nil)
	refusing.Close()
	for upstream, want := range map[string]int{failing.URL: 503, refusing.URL: 502} {
		url, _ := start(t, Config{Service: "productpage", Version: "v1", Burst: 1, Upstreams: upstreams(t, upstream)})
		if response := get(t, url, nil); response.StatusCode != want {
			t.Errorf("status %d, want %d", response.StatusCode, want)
		}
	}
}

func TestUpstreamsAreCalledThroughTheProxy(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-reviews-version", "v1")
	}))
	defer upstream.Close()
	target, _ := url.Parse(upstream.URL)
	asked := make(chan string, 1)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		asked <- r.In.URL.String()
		r.Out.URL.Host = target.Host
	}})
	defer proxy.Close()
	proxyURL, _ := url.Parse(proxy.URL)
	url, _ := start(t, Config{Service: "productpage", Burst: 1, Upstreams: upstreams(t, "http://reviews:9080/0"), Proxy: proxyURL})
	response := get(t, url, nil)
	if response.Header.Get("x-reviews-version") != "v1" {
		t.Errorf("header %v", response.Header)
	}
	if got := <-asked; got != "http://reviews:9080/0" {
		t.Errorf("the proxy was asked for %s", got)
	}
}

func TestStopFinishesWhatRuns(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-release
	}))
	defer upstream.Close()
	url, stop := start(t, Config{Service: "reviews", Version: "v1", Burst: 1, Upstreams: upstreams(t, upstream.URL)})
	status := make(chan int, 1)
	go func() {
		response, err := http.Get(url)
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		response.Body.Close()
		status <- response.StatusCode
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for accepts(url) {
		time.Sleep(time.Millisecond)
	}
	close(release)
	if got := <-status; got != 200 {
		t.Errorf("the running request got %d", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
}

func accepts(url string) bool {
	connection, err := net.Dial("tcp", url[len("http://"):])
	if err == nil {
		connection.Close()
	}
	return err == nil
}
