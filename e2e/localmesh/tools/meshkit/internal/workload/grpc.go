package workload

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// gRPC as its protocol defines it (PROTOCOL-HTTP2.md of grpc/grpc), for unary
// calls with empty messages: that is all the sample needs, so that there is no
// library for it here.
const (
	grpcType        = "application/grpc"
	grpcStatus      = "Grpc-Status"
	grpcOK          = 0
	grpcUnavailable = 14
)

// emptyMessage is the frame of a message without a field: not compressed, no bytes.
var emptyMessage = []byte{0, 0, 0, 0, 0}

// isGRPC reports whether a request is a gRPC call.
func isGRPC(request *http.Request) bool {
	kind, _, _ := strings.Cut(request.Header.Get("Content-Type"), ";")
	return request.ProtoMajor == 2 && (kind == grpcType || strings.HasPrefix(kind, grpcType+"+"))
}

// answerGRPC ends a call with an empty message, or with an error: an answer of
// headers only, as gRPC's own servers send it, which proxies may retry.
func answerGRPC(w http.ResponseWriter, status int) {
	header := w.Header()
	header.Set("Content-Type", grpcType)
	if status != grpcOK {
		header.Set(grpcStatus, strconv.Itoa(status))
		w.WriteHeader(http.StatusOK)
		return
	}
	header.Set("Trailer", grpcStatus)
	if _, err := w.Write(emptyMessage); err != nil {
		log.Printf("answer to a gRPC call: %v", err)
	}
	header.Set(grpcStatus, strconv.Itoa(grpcOK))
}

// newGRPCTransport speaks HTTP/2 without TLS, to the proxy where there is one:
// that takes a request by its authority and needs no CONNECT.
func newGRPCTransport(config Config) *http.Transport {
	transport := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	transport.Protocols.SetUnencryptedHTTP2(true)
	if config.Proxy != nil {
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, config.Proxy.Host)
		}
	}
	return transport
}

// callGRPC makes one unary call and returns what HTTP would call its outcome:
// 200, 503 for any error of the server, 502 where there is no complete answer.
func callGRPC(transport http.RoundTripper, request *http.Request) (int, http.Header, error) {
	request.Method = http.MethodPost
	request.URL.Scheme = "http"
	request.Header.Set("Content-Type", grpcType)
	request.Header.Set("Te", "trailers")
	request.Body = io.NopCloser(bytes.NewReader(emptyMessage))
	request.ContentLength = int64(len(emptyMessage))
	response, err := transport.RoundTrip(request)
	if err != nil {
		return http.StatusBadGateway, nil, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return http.StatusBadGateway, nil, err
	}
	status := response.Trailer.Get(grpcStatus)
	if status == "" {
		status = response.Header.Get(grpcStatus)
	}
	if status != strconv.Itoa(grpcOK) {
		return http.StatusServiceUnavailable, response.Header, nil
	}
	return http.StatusOK, response.Header, nil
}
