// Package relay pipes TCP connections to another address. Fault tests stop its
// process (SIGSTOP) to stall a connection without closing it, or end it
// (SIGTERM) to have the connection refused.
package relay

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
)

// Main parses the flags and relays until ctx is cancelled.
func Main(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("relay", flag.ContinueOnError)
	listen := flags.String("listen", "", "address to accept connections on")
	to := flags.String("to", "", "address to relay them to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *listen == "" || *to == "" {
		return errors.New("--listen and --to are required")
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	log.Printf("relaying %s to %s", listener.Addr(), *to)
	return Serve(ctx, listener, *to)
}

// Serve relays every connection accepted by listener to the address to. It
// returns nil once ctx is cancelled and all connections are closed.
func Serve(ctx context.Context, listener net.Listener, to string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { listener.Close() })

	var pipes sync.WaitGroup
	defer pipes.Wait()
	for {
		inbound, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			cancel()
			return fmt.Errorf("accept: %w", err)
		}
		pipes.Go(func() {
			if err := relay(ctx, inbound, to); err != nil && ctx.Err() == nil {
				log.Printf("%s: %v", inbound.RemoteAddr(), err)
			}
		})
	}
}

// relay pipes both ways until both sides have ended their half, one of them
// fails, or ctx is cancelled.
func relay(ctx context.Context, inbound net.Conn, to string) error {
	defer inbound.Close()
	outbound, err := new(net.Dialer).DialContext(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer outbound.Close()
	defer context.AfterFunc(ctx, func() {
		inbound.Close()
		outbound.Close()
	})()

	ended := make(chan error, 2)
	go func() { ended <- pipe(outbound, inbound) }()
	go func() { ended <- pipe(inbound, outbound) }()
	if err := <-ended; err != nil {
		return err
	}
	return <-ended
}

// pipe copies src to dst and passes the end of the stream on as a half-close.
func pipe(dst, src net.Conn) error {
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	return dst.(*net.TCPConn).CloseWrite()
}
