// Package load sends requests at a constant rate and records every answer.
//
// The rate is open-loop: a slow or stalled server does not slow the sending
// down, until maxInFlight requests wait for their answer.
package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	requestTimeout = 15 * time.Second
	maxInFlight    = 4096
)

// Main parses the flags and sends until the duration is over or ctx is
// cancelled; then waits for the requests in flight and returns nil.
func Main(ctx context.Context, args []string) error {
	opts, err := parseOptions(args)
	if err != nil {
		return err
	}
	recorder, err := openRecorder(opts.out)
	if err != nil {
		return err
	}
	g := newGenerator(opts, recorder)
	err = g.run(ctx)
	if closeErr := recorder.close(); err == nil {
		err = closeErr
	}
	return err
}

type generator struct {
	opts      options
	recorder  *recorder
	transport *http.Transport
	slots     chan struct{} // one for each request in flight
}

func newGenerator(opts options, recorder *recorder) *generator {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: requestTimeout}).DialContext,
		MaxIdleConnsPerHost: maxInFlight,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}
	if opts.proxy != nil {
		transport.Proxy = http.ProxyURL(opts.proxy)
	}
	return &generator{
		opts: opts, recorder: recorder, transport: transport, slots: make(chan struct{}, maxInFlight),
	}
}

func (g *generator) run(ctx context.Context) error {
	if g.opts.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, g.opts.duration)
		defer cancel()
	}
	rates := make(chan float64)
	go watchRate(ctx, g.opts.out+".rps", rates)

	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	pace := newPace(g.opts.rps, time.Now())
	for n := 1; g.await(ctx, pace, rates); n++ {
		select {
		case g.slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		pace.took()
		inFlight.Go(func() {
			defer func() { <-g.slots }()
			g.recorder.add(g.send(g.opts.churn > 0 && n%g.opts.churn == 0))
		})
		if err := g.recorder.failed(); err != nil {
			return fmt.Errorf("record answers: %w", err)
		}
	}
	return nil
}

// await blocks until the next request is due; false means that ctx has ended.
func (g *generator) await(ctx context.Context, pace *pace, rates <-chan float64) bool {
	for ctx.Err() == nil {
		select {
		case rps := <-rates:
			pace.set(rps, time.Now())
		default:
		}
		wait := pace.wait(time.Now())
		if wait <= 0 {
			return true
		}
		// A long wait is cut so that a new rate is not held up by an old one.
		timer := time.NewTimer(min(wait, idleWait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return false
}

// send gets the URL once. It does not depend on the context of the run: what
// was sent is finished. Only what net/http itself sends again (an idempotent
// request on a kept connection that the server closed before any answer) is
// sent twice.
func (g *generator) send(closeAfter bool) sample {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	request := (&http.Request{
		Method: http.MethodGet,
		URL:    g.opts.url,
		Host:   g.opts.host,
		Header: g.opts.headers.Clone(),
		Close:  closeAfter,
	}).WithContext(ctx)

	start := time.Now()
	status, version, err := g.roundTrip(request)
	end := time.Now()
	result := sample{
		T:       unixSeconds(end),
		Start:   unixSeconds(start),
		Ms:      float64(end.Sub(start).Microseconds()) / 1e3,
		Status:  status,
		Version: version,
	}
	if err != nil {
		result.Error = err.Error()
	}
	return result
}

// roundTrip returns status 0 with the error where the answer is not complete.
func (g *generator) roundTrip(request *http.Request) (status int, version string, err error) {
	response, err := g.transport.RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	version = response.Header.Get(g.opts.versionHeader)
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, version, fmt.Errorf("body: %w", err)
	}
	return response.StatusCode, version, nil
}
