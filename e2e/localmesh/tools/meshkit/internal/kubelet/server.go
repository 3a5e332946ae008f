// Package kubelet serves what the API server asks of a node's kubelet for
// `kubectl logs`, `exec` and `port-forward`: for pods that are plain processes,
// described by files of the process kubelet.
//
// Paths are those of the kubelet's own server (pkg/kubelet/server in
// k8s.io/kubernetes); the streams are served by k8s.io/cri-streaming, which
// container runtimes use. The API server translates its clients' WebSockets to
// SPDY for nodes that do not declare the feature ExtendWebSocketsToKubelet, so
// SPDY is all that is needed here.
package kubelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

const (
	streamIdleTimeout = 4 * time.Hour // as in cri-streaming's DefaultConfig
	shutdownTimeout   = 2 * time.Second
)

// Main parses the flags and serves until ctx is cancelled; then the commands
// that were started by exec are killed.
func Main(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("kubelet", flag.ContinueOnError)
	listen := flags.String("listen", "", "address to serve on, such as IP:10250")
	certFile := flags.String("tls-cert", "", "serving certificate")
	keyFile := flags.String("tls-key", "", "key of the serving certificate")
	clientCA := flags.String("client-ca", "", "CA of the clients' certificates; without it every client is served")
	stateDir := flags.String("state", "", "folder with NAMESPACE/POD.json files of the process kubelet")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *listen == "" || *certFile == "" || *keyFile == "" || *stateDir == "" {
		return errors.New("--listen, --tls-cert, --tls-key and --state are required")
	}
	tlsConfig, err := newTLSConfig(*certFile, *keyFile, *clientCA)
	if err != nil {
		return err
	}
	state, err := openState(*stateDir)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	log.Printf("kubelet serves on %s", listener.Addr())
	return Serve(ctx, listener, tlsConfig, state)
}

// newTLSConfig asks clients for a certificate where clientCA names a file.
func newTLSConfig(certFile, keyFile, clientCA string) (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if clientCA == "" {
		return config, nil
	}
	text, err := os.ReadFile(clientCA)
	if err != nil {
		return nil, err
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", clientCA)
	}
	// Not RequireAnd…: /healthz is for everyone; see authenticated.
	config.ClientAuth = tls.VerifyClientCertIfGiven
	return config, nil
}

// Serve answers on listener until ctx is cancelled.
func Serve(ctx context.Context, listener net.Listener, tlsConfig *tls.Config, state *state) error {
	kubelet := &kubelet{state: state}
	server := &http.Server{
		Handler:           kubelet.handler(tlsConfig.ClientCAs != nil),
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: 30 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(deadline); err != nil {
		server.Close()
	}
	// Streams are not the server's any more: Shutdown does not know them.
	ended := make(chan struct{})
	go func() {
		kubelet.commands.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(shutdownTimeout): // a client that does not read its output
	}
	return nil
}

type kubelet struct {
	state    *state
	commands sync.WaitGroup
}

func (k *kubelet) handler(authenticate bool) http.Handler {
	private := http.NewServeMux()
	for _, path := range []string{"/{namespace}/{pod}/{container}", "/{namespace}/{pod}/{uid}/{container}"} {
		private.HandleFunc("GET /exec"+path, k.serveExec)
		private.HandleFunc("POST /exec"+path, k.serveExec)
	}
	for _, path := range []string{"/{namespace}/{pod}", "/{namespace}/{pod}/{uid}"} {
		private.HandleFunc("GET /portForward"+path, k.servePortForward)
		private.HandleFunc("POST /portForward"+path, k.servePortForward)
	}
	private.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.serveLogs)

	public := http.NewServeMux()
	public.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	if authenticate {
		public.Handle("/", authenticated(private))
	} else {
		public.Handle("/", private)
	}
	return public
}

// authenticated lets only clients with a verified certificate pass.
func authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.VerifiedChains) == 0 {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (k *kubelet) serveExec(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	container, err := k.state.container(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("uid"), r.PathValue("container"))
	if err != nil {
		writeError(w, err)
		return
	}
	k.commands.Add(1)
	defer k.commands.Done()
	remotecommand.ServeExec(w, r, executor{container}, "", "", "", r.URL.Query()["command"], options,
		streamIdleTimeout, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
}

func (k *kubelet) servePortForward(w http.ResponseWriter, r *http.Request) {
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pod, err := k.state.pod(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("uid"))
	if err != nil {
		writeError(w, err)
		return
	}
	portforward.ServePortForward(w, r, forwarder{pod.IP}, "", "", options,
		streamIdleTimeout, remotecommand.DefaultStreamCreationTimeout, portforward.SupportedProtocols)
}

func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, errNotFound) {
		status = http.StatusNotFound
	}
	http.Error(w, err.Error(), status)
}
