// Command meshkit holds the small programs of the local mesh: the sample
// service, the load generator, a TCP relay for fault tests, the kubelet's
// streaming endpoint, and the part of pilot-agent that is run within a pod.
//
//	meshkit workload --listen IP:PORT
//	meshkit load --url URL --rps N --out FILE [flags]
//	meshkit relay --listen ADDR --to ADDR
//	meshkit kubelet --listen IP:PORT --tls-cert F --tls-key F --state DIR [flags]
//	pilot-agent request METHOD PATH [BODY]      (a symbolic link to meshkit)
//
// Every program ends cleanly, with exit code 0, on SIGTERM and SIGINT.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"canaryrollout.io/localmesh/tools/meshkit/internal/kubelet"
	"canaryrollout.io/localmesh/tools/meshkit/internal/load"
	"canaryrollout.io/localmesh/tools/meshkit/internal/pilotagent"
	"canaryrollout.io/localmesh/tools/meshkit/internal/relay"
	"canaryrollout.io/localmesh/tools/meshkit/internal/workload"
)

// program runs until its work is done or ctx is cancelled by a signal.
type program func(ctx context.Context, args []string) error

var programs = map[string]program{
	"kubelet":     kubelet.Main,
	"load":        load.Main,
	"pilot-agent": pilotagent.Main,
	"relay":       relay.Main,
	"workload":    workload.Main,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code := run(ctx, os.Args)
	stop()
	os.Exit(code)
}

// run picks the program by argv[0] (so that a symbolic link can name one) or
// by the first argument, and returns the exit code.
func run(ctx context.Context, argv []string) int {
	name, args := filepath.Base(argv[0]), argv[1:]
	if programs[name] == nil && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	chosen := programs[name]
	if chosen == nil {
		fmt.Fprintf(os.Stderr, "usage: meshkit %s [flags]\n", strings.Join(programNames(), "|"))
		return 2
	}
	switch err := chosen(ctx, args); {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	default:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
}

func programNames() []string {
	names := make([]string, 0, len(programs))
	for name := range programs {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
