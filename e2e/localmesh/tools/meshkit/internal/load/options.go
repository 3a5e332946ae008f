package load

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// options are the flags of `meshkit load`.
type options struct {
	url           *url.URL
	host          string
	proxy         *url.URL
	rps           float64
	out           string
	duration      time.Duration // 0: until a signal
	versionHeader string
	headers       http.Header
	churn         int // one request in this many closes its connection; 0: none
}

func parseOptions(args []string) (options, error) {
	opts := options{headers: http.Header{}}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.Func("url", "URL to get", parseURL(&opts.url))
	flags.StringVar(&opts.host, "host", "", "Host header, where it is not the URL's host")
	flags.Func("proxy", "HTTP proxy to send through, such as a sidecar's", parseURL(&opts.proxy))
	flags.Float64Var(&opts.rps, "rps", 10, "requests per second; a number written to FILE.rps replaces it")
	flags.StringVar(&opts.out, "out", "", "FILE to which one JSON line is appended for each answer")
	seconds := flags.Float64("duration", 0, "seconds to send for; 0: until SIGTERM")
	flags.StringVar(&opts.versionHeader, "version-header", "x-reviews-version", "response header recorded as the version")
	flags.Func("header", "request header as NAME=VALUE; may be given several times", func(text string) error {
		name, value, found := strings.Cut(text, "=")
		if !found || name == "" {
			return fmt.Errorf("want NAME=VALUE, got %q", text)
		}
		opts.headers.Add(name, value)
		return nil
	})
	flags.IntVar(&opts.churn, "connection-churn", 0, "close the connection after one request in N; 0: keep them")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	opts.duration = time.Duration(*seconds * float64(time.Second))
	return opts, opts.check()
}

func (o options) check() error {
	switch {
	case o.url == nil:
		return errors.New("--url is required")
	case o.out == "":
		return errors.New("--out is required")
	case !validRate(o.rps):
		return fmt.Errorf("--rps %v: want 0 to %v", o.rps, maxRate)
	case o.duration < 0 || o.churn < 0:
		return errors.New("--duration and --connection-churn cannot be negative")
	}
	return nil
}

func parseURL(target **url.URL) func(string) error {
	return func(text string) error {
		parsed, err := url.Parse(text)
		if err != nil {
			return err
		}
		if parsed.Scheme != "http" || parsed.Host == "" {
			return fmt.Errorf("want an http:// URL, got %q", text)
		}
		*target = parsed
		return nil
	}
}
