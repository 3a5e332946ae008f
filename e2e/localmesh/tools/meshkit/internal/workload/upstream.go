package workload

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// upstreamTimeout bounds one upstream call; above any latency a scenario sets.
const upstreamTimeout = 15 * time.Second

// grpcScheme in an upstream's URL asks for a gRPC call of its path.
const grpcScheme = "grpc"

// forwarded are the request headers passed on to upstreams: those the Bookinfo
// sample forwards for tracing and for routing by user.
var forwarded = []string{
	"Authorization", "Baggage", "Cookie", "End-User", "Traceparent", "Tracestate", "User-Agent",
	"B3", "X-B3-Flags", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Spanid", "X-B3-Traceid",
	"X-Request-Id",
}

// client calls upstreams over HTTP/1.1 or gRPC and keeps its connections to
// them (or to the sidecar's proxy) open between requests.
type client struct {
	http *http.Transport
	grpc *http.Transport
}

func newClient(config Config) *client {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}
	if config.Proxy != nil {
		transport.Proxy = http.ProxyURL(config.Proxy)
	}
	return &client{http: transport, grpc: newGRPCTransport(config)}
}

// call sends one request to an upstream on behalf of inbound, adds the version
// headers of the answer to versions, and returns the status: 502 where there
// is no complete answer.
func (c *client) call(inbound *http.Request, upstream *url.URL, versions http.Header) int {
	ctx, cancel := context.WithTimeout(inbound.Context(), upstreamTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, upstream.String(), nil)
	if err != nil {
		log.Printf("upstream %s: %v", upstream, err)
		return http.StatusBadGateway
	}
	for _, name := range forwarded {
		if values := inbound.Header[name]; len(values) > 0 {
			request.Header[name] = values
		}
	}
	send, transport := callHTTP, c.http
	if upstream.Scheme == grpcScheme {
		send, transport = callGRPC, c.grpc
	}
	status, header, err := send(transport, request)
	if err != nil {
		log.Printf("upstream %s: %v", upstream, err)
	}
	for name, values := range header {
		if isVersionHeader(name) {
			versions[name] = values
		}
	}
	return status
}

// callHTTP sends a request and returns the status: 502 where there is no
// complete answer.
func callHTTP(transport http.RoundTripper, request *http.Request) (int, http.Header, error) {
	response, err := transport.RoundTrip(request)
	if err != nil {
		return http.StatusBadGateway, nil, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return http.StatusBadGateway, nil, err
	}
	return response.StatusCode, response.Header, nil
}

// isVersionHeader reports whether name is X-<service>-Version.
func isVersionHeader(name string) bool {
	return strings.HasPrefix(name, "X-") && strings.HasSuffix(name, "-Version") && len(name) > len("X--Version")
}
