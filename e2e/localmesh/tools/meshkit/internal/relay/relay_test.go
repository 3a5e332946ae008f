package relay

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// listen returns a listener that is closed when the test ends.
func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// startRelay relays to the address to and returns its own address.
func startRelay(t *testing.T, to string) (address string, stop func() error) {
	listener := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, listener, to) }()
	return listener.Addr().String(), func() error { cancel(); return <-done }
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	connection.SetDeadline(time.Now().Add(10 * time.Second))
	return connection.(*net.TCPConn)
}

func TestBothWaysAndTheHalfCloseArePiped(t *testing.T) {
	server := listen(t)
	go func() {
		connection, err := server.Accept()
		if err != nil {
			return
		}
		request, _ := io.ReadAll(connection) // ends with the client's half-close
		connection.Write(append([]byte("got "), request...))
		connection.Close()
	}()
	address, _ := startRelay(t, server.Addr().String())
	client := dial(t, address)
	client.Write([]byte("hello"))
	client.CloseWrite()
	answer, err := io.ReadAll(client)
	if err != nil || string(answer) != "got hello" {
		t.Errorf("answer %q, error %v", answer, err)
	}
}

func TestStopClosesConnectionsAndRefusesNewOnes(t *testing.T) {
	server := listen(t)
	accepted := make(chan net.Conn, 1)
	go func() {
		connection, err := server.Accept()
		if err == nil {
			accepted <- connection
		}
	}()
	address, stop := startRelay(t, server.Addr().String())
	client := dial(t, address)
	upstream := <-accepted
	defer upstream.Close()
	if err := stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	for name, connection := range map[string]net.Conn{"client": client, "server": upstream} {
		connection.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := connection.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("the %s's connection is still open: %v", name, err)
		}
	}
	if connection, err := net.Dial("tcp", address); err == nil {
		connection.Close()
		t.Error("still accepts after the stop")
	}
}

func TestUnreachableTargetClosesTheClient(t *testing.T) {
	gone := listen(t)
	gone.Close()
	address, _ := startRelay(t, gone.Addr().String())
	if _, err := dial(t, address).Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the client's connection is still open: %v", err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}
