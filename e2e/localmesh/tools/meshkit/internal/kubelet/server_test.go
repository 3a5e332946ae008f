package kubelet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// node is a running kubelet with the certificates to talk to it.
type node struct {
	dir     string // of the state
	address string
	config  *rest.Config // of a client with a certificate
	stop    func() error
}

func startNode(t *testing.T) *node {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile := writeCertificate(t)
	tlsConfig, err := newTLSConfig(certFile, keyFile, certFile)
	if err != nil {
		t.Fatal(err)
	}
	state, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, listener, tlsConfig, state) }()
	return &node{
		dir:     dir,
		address: listener.Addr().String(),
		config: &rest.Config{
			Host:            "https://" + listener.Addr().String(),
			TLSClientConfig: rest.TLSClientConfig{CAFile: certFile, CertFile: certFile, KeyFile: keyFile},
		},
		stop: func() error { cancel(); return <-done },
	}
}

// writeCertificate makes a self-signed one that is its own CA, for both sides.
func writeCertificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "node"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, bytes []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", certificate), write("key.pem", "PRIVATE KEY", keyBytes)
}

// put writes the state of pod default/reviews.
func (n *node) put(t *testing.T, pod pod) {
	t.Helper()
	text, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(n.dir, "default")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "reviews.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// url is that of a kubelet path such as "/exec/default/reviews/app".
func (n *node) url(path string, query url.Values) *url.URL {
	return &url.URL{Scheme: "https", Host: n.address, Path: path, RawQuery: query.Encode()}
}

func (n *node) get(t *testing.T, path string, query url.Values) *http.Response {
	t.Helper()
	client, err := rest.HTTPClientFor(n.config)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Get(n.url(path, query).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func TestUnknownPodsContainersAndUIDsAreNotFound(t *testing.T) {
	node := startNode(t)
	node.put(t, pod{UID: "u1", Containers: map[string]container{"app": {}}})
	query := url.Values{"command": {"true"}, "output": {"1"}}
	for _, path := range []string{
		"/containerLogs/default/gone/app", "/containerLogs/default/reviews/gone", "/containerLogs/..%2f../etc/app",
		"/exec/default/gone/app", "/exec/default/reviews/other-uid/app", "/portForward/default/gone",
	} {
		if response := node.get(t, path, query); response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
}

func TestClientWithoutCertificateMaySeeHealthOnly(t *testing.T) {
	node := startNode(t)
	node.config.CertFile, node.config.KeyFile = "", ""
	if response := node.get(t, "/healthz", nil); response.StatusCode != http.StatusOK {
		t.Errorf("/healthz: %s", response.Status)
	}
	for _, path := range []string{"/containerLogs/default/reviews/app", "/exec/default/reviews/app", "/portForward/default/reviews"} {
		if response := node.get(t, path, nil); response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
}

func TestNamesCannotLeaveTheStateFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "outside.json"), []byte(`{"uid":"secret"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(dir, "state", "default")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	state, err := openState(filepath.Dir(inner))
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"..", "default/../.."} {
		if found, err := state.pod(namespace, "outside", ""); err == nil || strings.Contains(found.UID, "secret") {
			t.Errorf("%s: read %+v, error %v", namespace, found, err)
		}
	}
}
