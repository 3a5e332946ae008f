package load

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// runLoad runs the generator with the flags and returns what it recorded.
func runLoad(t *testing.T, ctx context.Context, flags ...string) []sample {
	t.Helper()
	out := filepath.Join(t.TempDir(), "load.jsonl")
	if err := Main(ctx, append(flags, "--out", out)); err != nil {
		t.Fatal(err)
	}
	return readSamples(t, out)
}

func readSamples(t *testing.T, path string) (samples []sample) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var s sample
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		samples = append(samples, s)
	}
	return samples
}

// countingServer answers with a version and counts connections and requests.
type countingServer struct {
	*httptest.Server
	connections, requests atomic.Int64
}

func newCountingServer(t *testing.T, handler http.HandlerFunc) *countingServer {
	s := &countingServer{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		handler(w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func answerV1(w http.ResponseWriter, _ *http.Request) { w.Header().Set("x-reviews-version", "v1") }

func TestEveryRequestIsSentAtTheRateAndRecorded(t *testing.T) {
	server := newCountingServer(t, answerV1)
	samples := runLoad(t, t.Context(), "--url", server.URL, "--rps", "200", "--duration", "2")
	if got := int(server.requests.Load()); got != len(samples) {
		t.Errorf("%d requests, %d records", got, len(samples))
	}
	if math.Abs(float64(len(samples))-400) > 60 { // loosely: the machine may be busy
		t.Errorf("%d requests in 2 s at 200/s", len(samples))
	}
	for _, s := range samples {
		if s.Status != 200 || s.Version != "v1" || s.Error != "" || s.T < s.Start || math.Abs((s.T-s.Start)*1e3-s.Ms) > 1 {
			t.Fatalf("record %+v", s)
		}
	}
}

func TestConnectionsAreKept(t *testing.T) {
	server := newCountingServer(t, answerV1)
	samples := runLoad(t, t.Context(), "--url", server.URL, "--rps", "200", "--duration", "1")
	if got := server.connections.Load(); int(got) > len(samples)/4 {
		t.Errorf("%d connections for %d requests", got, len(samples))
	}
}

func TestConnectionChurnClosesOneInN(t *testing.T) {
	server := newCountingServer(t, answerV1)
	samples := runLoad(t, t.Context(), "--url", server.URL, "--rps", "200", "--duration", "1", "--connection-churn", "4")
	if got := int(server.connections.Load()); got < len(samples)/4 {
		t.Errorf("%d connections for %d requests, want at least a quarter", got, len(samples))
	}
}

// A server may close a kept connection at the moment a request is sent on it.
func TestClosedKeptConnectionsAreNoErrors(t *testing.T) {
	var n atomic.Int64
	server := newCountingServer(t, func(w http.ResponseWriter, r *http.Request) {
		answerV1(w, r)
		if n.Add(1)%3 == 0 {
			connection, buffer, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			buffer.WriteString("HTTP/1.1 200 OK\r\nx-reviews-version: v1\r\nContent-Length: 0\r\n\r\n")
			buffer.Flush()
			connection.Close() // without saying so
		}
	})
	for _, s := range runLoad(t, t.Context(), "--url", server.URL, "--rps", "500", "--duration", "2") {
		if s.Status != 200 {
			t.Fatalf("record %+v", s)
		}
	}
}

func TestSlowServerDoesNotSlowTheSending(t *testing.T) {
	release := make(chan struct{})
	server := newCountingServer(t, func(http.ResponseWriter, *http.Request) { <-release })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for deadline := time.Now().Add(20 * time.Second); server.requests.Load() < 100 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		cancel() // the end of the run: what is in flight is still finished
		close(release)
	}()
	samples := runLoad(t, ctx, "--url", server.URL, "--rps", "200")
	if len(samples) < 100 {
		t.Errorf("%d records", len(samples))
	}
	for _, s := range samples {
		if s.Status != 200 {
			t.Fatalf("record %+v", s)
		}
	}
}

func TestNoAnswerIsStatusZeroWithItsError(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	samples := runLoad(t, t.Context(), "--url", server.URL, "--rps", "50", "--duration", "0.2")
	if len(samples) == 0 {
		t.Fatal("no records")
	}
	for _, s := range samples {
		if s.Status != 0 || s.Error == "" {
			t.Errorf("record %+v", s)
		}
	}
}

func TestBrokenBodyIsNoAnswer(t *testing.T) {
	server := newCountingServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("short"))
	})
	for _, s := range runLoad(t, t.Context(), "--url", server.URL, "--rps", "50", "--duration", "0.2") {
		if s.Status != 0 || s.Error == "" {
			t.Errorf("record %+v", s)
		}
	}
}

func TestHostHeadersAndProxy(t *testing.T) {
	seen := make(chan *http.Request, 100)
	proxy := newCountingServer(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		w.Header().Set("x-version", "v7")
	})
	samples := runLoad(t, t.Context(), "--url", "http://ingress:80/product", "--host", "bookinfo.example", "--proxy", proxy.URL,
		"--header", "end-user=jason", "--version-header", "x-version", "--rps", "20", "--duration", "0.2")
	request := <-seen
	if request.Host != "bookinfo.example" || request.URL.Path != "/product" || request.Header.Get("end-user") != "jason" {
		t.Errorf("request for %s %s with %v", request.Host, request.URL, request.Header)
	}
	if samples[0].Version != "v7" {
		t.Errorf("record %+v", samples[0])
	}
}

func TestRateFileChangesTheRate(t *testing.T) {
	server := newCountingServer(t, answerV1)
	out := filepath.Join(t.TempDir(), "load.jsonl")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Main(ctx, []string{"--url", server.URL, "--rps", "0", "--out", out}) }()
	if err := os.WriteFile(out+".rps", []byte(strconv.Itoa(300)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); server.requests.Load() < 50; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the rate was not taken from the file")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := len(readSamples(t, out)); got != int(server.requests.Load()) {
		t.Errorf("%d records, %d requests", got, server.requests.Load())
	}
}

func TestBadFlagsAreNamed(t *testing.T) {
	for _, flags := range [][]string{
		{"--out", "x"},
		{"--url", "http://a"},
		{"--url", "a:80", "--out", "x"},
		{"--url", "http://a", "--out", "x", "--rps", "-1"},
		{"--url", "http://a", "--out", "x", "--header", "novalue"},
	} {
		if _, err := parseOptions(flags); err == nil {
			t.Errorf("%v: no error", flags)
		}
	}
}
