// Package pilotagent is the one command of Istio's pilot-agent that people and
// istioctl run inside a proxy's container:
//
//	pilot-agent request METHOD PATH [BODY]
//
// It sends the request to the admin interface of the pod's Envoy and prints
// the answer. Istio's own program dials localhost; on the local mesh all pods
// share one network namespace and each Envoy's admin is on its pod address.
package pilotagent

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const timeout = 60 * time.Second

var errUsage = errors.New("usage: pilot-agent request [--debug-port N] METHOD PATH [BODY]")

// Main runs the command; POD_IP of the environment says which Envoy to ask.
func Main(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "request" {
		return errUsage
	}
	flags := flag.NewFlagSet("request", flag.ContinueOnError)
	port := flags.String("debug-port", "15000", "port of Envoy's admin interface")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() != 2 && flags.NArg() != 3 {
		return errUsage
	}
	address := os.Getenv("POD_IP")
	if address == "" {
		return errors.New("POD_IP is not set: not in a proxy's container")
	}
	admin := net.JoinHostPort(address, *port)
	return request(ctx, os.Stdout, admin, flags.Arg(0), flags.Arg(1), flags.Arg(2))
}

// request copies the answer's body to out; a status of 400 or more is an error.
func request(ctx context.Context, out io.Writer, admin, method, path, body string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	url := "http://" + admin + "/" + strings.TrimPrefix(path, "/")
	request, err := http.NewRequestWithContext(ctx, strings.ToUpper(method), url, strings.NewReader(body))
	if err != nil {
		return err
	}
	direct := &http.Transport{} // never through the sidecar's own proxy port
	response, err := direct.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(out, response.Body); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s", method, url, response.Status)
	}
	return nil
}
