// Package workload is the sample service of the local mesh: a small HTTP and
// gRPC server that calls its upstreams and mixes in errors and latency as its
// version's pod template says.
package workload

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

const (
	// lameDuck is how long open connections are still served, each told to
	// close with its next answer, so that no request meets a closed one.
	lameDuck = 300 * time.Millisecond
	// drainTimeout bounds what runs at SIGTERM; above upstreamTimeout.
	drainTimeout = 20 * time.Second
)

const usage = `usage: meshkit workload --listen IP:PORT

GET /healthz is answered with 200. Every other path is answered with the JSON
{"service", "version", "pod"} and the header x-SERVICE-version; a gRPC call of
any method with an empty message and the same header. Environment:
  SERVICE, VERSION, POD_NAME  who answers
  ERROR_RATE   share of the requests that fail, 0 to 1 (0)
  ERROR_CODE   their status (500)
  ERROR_GRPC_STATUS  their status where they are gRPC calls (14)
  BURST        how many failures follow each other (1)
  LATENCY_MS   added to slow requests (0)
  SLOW_RATE    share of the requests that are slow, 0 to 1 (1)
  CAPACITY_RPS requests per second above which requests fail (no limit)
  UPSTREAMS    http:// or grpc:// URLs called for each request, separated by commas
  HTTP_PROXY   proxy to call them through, such as a sidecar's
`

// Main parses the flags, reads the environment and serves until ctx is cancelled.
func Main(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("workload", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage) }
	listen := flags.String("listen", "", "address to serve on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *listen == "" {
		return errors.New("--listen is required")
	}
	config, err := ConfigFromEnv(os.Getenv)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	log.Printf("%s %s (%s) serves on %s", config.Service, config.Version, config.Pod, listener.Addr())
	return Serve(ctx, listener, config)
}

// Serve answers requests until ctx is cancelled, then stops accepting, lets
// what runs finish, and returns nil.
func Serve(ctx context.Context, listener net.Listener, config Config) error {
	service := &service{
		config: config,
		faults: newFaults(config),
		client: newClient(config),
		header: http.CanonicalHeaderKey("x-" + config.Service + "-version"),
	}
	server := &http.Server{Handler: service, ReadHeaderTimeout: 30 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	service.draining.Store(true)
	listener.Close()
	time.Sleep(lameDuck)
	deadline, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	return server.Shutdown(deadline)
}

type service struct {
	config   Config
	faults   *faults
	client   *client
	header   string // X-<service>-Version
	draining atomic.Bool
}

// answer is the body of every response but /healthz.
type answer struct {
	Service string `json:"service"`
	Version string `json:"version"`
	Pod     string `json:"pod"`
}

func (s *service) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if s.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	if request.URL.Path == "/healthz" {
		return
	}
	fails, delay := s.faults.next(time.Now())
	if !pause(request.Context(), delay) {
		return // the client has gone
	}
	status := http.StatusOK
	if fails {
		status = s.config.ErrorCode
	} else if upstream := s.callUpstreams(w.Header(), request); upstream >= http.StatusInternalServerError {
		status = upstream
	}
	w.Header().Set(s.header, s.config.Version)
	if isGRPC(request) {
		answerGRPC(w, s.grpcStatus(fails, status))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body := answer{Service: s.config.Service, Version: s.config.Version, Pod: s.config.Pod}
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Printf("answer to %s: %v", request.RemoteAddr, err)
	}
}

// grpcStatus is the status of a call that fails by itself, or whose upstreams
// have answered with an HTTP status.
func (s *service) grpcStatus(fails bool, status int) int {
	switch {
	case fails:
		return s.config.ErrorGRPC
	case status >= http.StatusInternalServerError:
		return grpcUnavailable
	default:
		return grpcOK
	}
}

// callUpstreams calls every upstream in turn and returns the highest status.
func (s *service) callUpstreams(versions http.Header, request *http.Request) int {
	worst := 0
	for _, upstream := range s.config.Upstreams {
		worst = max(worst, s.client.call(request, upstream, versions))
	}
	return worst
}

// pause waits for d; it returns false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
