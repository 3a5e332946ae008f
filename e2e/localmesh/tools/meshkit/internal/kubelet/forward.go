package kubelet

import (
	"context"
	"io"
	"net"
	"strconv"
	"time"
)

const dialTimeout = 10 * time.Second

// forwarder connects port-forward streams to a pod's address. A container
// runtime would dial localhost within the pod's network namespace; here all
// pods share one, and a pod's ports, its Envoy's admin included, are on its
// own address.
type forwarder struct{ ip string }

// PortForward implements portforward.PortForwarder. It returns once both
// directions have ended, or the stream has failed.
func (f forwarder) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	dialer := net.Dialer{Timeout: dialTimeout}
	connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(f.ip, strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer connection.Close()
	defer context.AfterFunc(ctx, func() { connection.Close() })()

	go func() {
		if _, err := io.Copy(connection, stream); err == nil {
			connection.(*net.TCPConn).CloseWrite()
		} else {
			connection.Close()
		}
	}()
	// The pod's side decides the end: a client that half-closes still wants
	// the rest of the answer.
	_, err = io.Copy(stream, connection)
	return err
}
