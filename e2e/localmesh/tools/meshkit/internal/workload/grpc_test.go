package workload

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// grpcCall makes a call as any gRPC client would and returns the answer, read to its end.
func grpcCall(t *testing.T, url string) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, url+"/reviews.Reviews/Get", bytes.NewReader(emptyMessage))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/grpc+proto")
	request.Header.Set("Te", "trailers")
	response, err := newGRPCTransport(Config{}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

func TestGRPCCallIsAnsweredWithAMessageAndItsStatusInATrailer(t *testing.T) {
	url, _ := start(t, Config{Service: "reviews", Version: "v2", Burst: 1})
	response, body := grpcCall(t, url)
	if response.StatusCode != 200 || response.ProtoMajor != 2 || response.Header.Get("Content-Type") != "application/grpc" {
		t.Errorf("%d %s %v", response.StatusCode, response.Proto, response.Header)
	}
	if !bytes.Equal(body, emptyMessage) || response.Trailer.Get("grpc-status") != "0" || response.Header.Get("grpc-status") != "" {
		t.Errorf("message %v, trailers %v", body, response.Trailer)
	}
	if response.Header.Get("x-reviews-version") != "v2" {
		t.Errorf("headers %v", response.Header)
	}
}

func TestFailedGRPCCallIsHTTP200WithItsStatusAmongTheHeaders(t *testing.T) {
	url, _ := start(t, Config{Service: "reviews", Version: "v3", ErrorRate: 1, ErrorCode: 500, ErrorGRPC: 14, Burst: 1})
	response, body := grpcCall(t, url)
	if response.StatusCode != 200 || response.Header.Get("grpc-status") != "14" || len(body) != 0 || len(response.Trailer) != 0 {
		t.Errorf("%d %v %v, trailers %v", response.StatusCode, response.Header, body, response.Trailer)
	}
}

func TestGRPCUpstreamsAreCalledAndTheirStatusDecides(t *testing.T) {
	for rate, want := range map[float64]int{0: 200, 1: 503} {
		reviews, _ := start(t, Config{Service: "reviews", Version: "v2", ErrorRate: rate, ErrorGRPC: 14, Burst: 1})
		upstream := strings.Replace(reviews, "http://", "grpc://", 1) + "/reviews.Reviews/Get"
		url, _ := start(t, Config{Service: "productpage", Burst: 1, Upstreams: upstreams(t, upstream)})
		response := get(t, url, nil)
		if response.StatusCode != want || response.Header.Get("x-reviews-version") != "v2" {
			t.Errorf("error rate %v: %d %v, want %d", rate, response.StatusCode, response.Header, want)
		}
	}
}

func TestGRPCUpstreamsAreCalledThroughTheProxyByTheirAuthority(t *testing.T) {
	asked := make(chan string, 1)
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Host + r.URL.Path
		answerGRPC(w, grpcOK)
	}))
	proxy.Config.Protocols = new(http.Protocols)
	proxy.Config.Protocols.SetUnencryptedHTTP2(true)
	proxy.Start()
	defer proxy.Close()
	url, _ := start(t, Config{
		Service: "productpage", Burst: 1, Upstreams: upstreams(t, "grpc://reviews/S/M"), Proxy: upstreams(t, proxy.URL)[0],
	})
	if response := get(t, url, nil); response.StatusCode != 200 {
		t.Errorf("status %d", response.StatusCode)
	}
	if got := <-asked; got != "reviews/S/M" {
		t.Errorf("the proxy was asked for %s", got)
	}
}
