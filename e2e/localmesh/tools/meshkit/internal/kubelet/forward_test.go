package kubelet

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// forward opens a local port to a port of the pod reviews.
func forward(t *testing.T, node *node, port string) uint16 {
	t.Helper()
	transport, upgrader, err := spdy.RoundTripperFor(node.config)
	if err != nil {
		t.Fatal(err)
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, node.url("/portForward/default/reviews/u1", nil))
	stop, ready := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop) })
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:" + port}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	return ports[0].Local
}

func TestPortForwardReachesThePodsAddress(t *testing.T) {
	// Another loopback address than the kubelet's stands for the pod's own.
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "admin %s of %s", r.URL.Path, r.Host)
	}))
	admin.Listener.Close()
	admin.Listener = listener
	admin.Start()
	defer admin.Close()
	node := startNode(t)
	node.put(t, pod{UID: "u1", IP: "127.0.0.2"})
	local := forward(t, node, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	for range 3 { // each on a connection of its own
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/stats", local))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if want := fmt.Sprintf("admin /stats of 127.0.0.1:%d", local); string(body) != want || err != nil {
			t.Errorf("body %q, error %v", body, err)
		}
	}
}

func TestPortForwardToAClosedPortFails(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	node := startNode(t)
	node.put(t, pod{UID: "u1", IP: "127.0.0.2"})
	local := forward(t, node, strconv.Itoa(closed.Addr().(*net.TCPAddr).Port))
	connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", local))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if got, _ := io.ReadAll(connection); len(got) != 0 {
		t.Errorf("read %q", got)
	}
}
