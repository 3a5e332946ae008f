package workload

import (
	"context"
	"io"
	"log"
	"net/http"
	"strings"
	"time"
)

// upstreamTimeout bounds one upstream call; above any latency a scenario sets.
const upstreamTimeout = 15 * time.Second

// forwarded are the request headers passed on to upstreams: those the Bookinfo
// sample forwards for tracing and for routing by user.
var forwarded = []string{
	"Authorization", "Baggage", "Cookie", "End-User", "Traceparent", "Tracestate", "User-Agent",
	"B3", "X-B3-Flags", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Spanid", "X-B3-Traceid",
	"X-Request-Id",
}

// newTransport keeps connections to the upstreams (or to the sidecar's proxy)
// open between requests.
func newTransport(config Config) *http.Transport {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}
	if config.Proxy != nil {
		transport.Proxy = http.ProxyURL(config.Proxy)
	}
	return transport
}

// call sends one GET to an upstream on behalf of inbound, adds the version
// headers of the answer to versions, and returns the status: 502 where there
// is no complete answer.
func call(transport http.RoundTripper, inbound *http.Request, url string, versions http.Header) int {
	ctx, cancel := context.WithTimeout(inbound.Context(), upstreamTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		log.Printf("upstream %s: %v", url, err)
		return http.StatusBadGateway
	}
	for _, name := range forwarded {
		if values := inbound.Header[name]; len(values) > 0 {
			request.Header[name] = values
		}
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		log.Printf("upstream %s: %v", url, err)
		return http.StatusBadGateway
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		log.Printf("upstream %s: %v", url, err)
		return http.StatusBadGateway
	}
	for name, values := range response.Header {
		if isVersionHeader(name) {
			versions[name] = values
		}
	}
	return response.StatusCode
}

// isVersionHeader reports whether name is X-<service>-Version.
func isVersionHeader(name string) bool {
	return strings.HasPrefix(name, "X-") && strings.HasSuffix(name, "-Version") && len(name) > len("X--Version")
}
