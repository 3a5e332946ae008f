package load

import (
	"context"
	"log"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	maxRate      = 100_000.0
	ratePollTime = 200 * time.Millisecond
	// maxBacklog is how late a request may still be sent. What is older is
	// skipped, so that a stall is not followed by a burst.
	maxBacklog = 200 * time.Millisecond
	// idleWait is how long a pace of 0 waits before it looks again.
	idleWait = 20 * time.Millisecond
)

// validRate is false for NaN too.
func validRate(rps float64) bool { return rps >= 0 && rps <= maxRate }

// pace is the open-loop schedule: request n of a rate is due n/rps after the
// rate was set, whatever became of the requests before it.
type pace struct {
	rps    float64
	anchor time.Time
	sent   int
}

func newPace(rps float64, now time.Time) *pace { return &pace{rps: rps, anchor: now} }

// set changes the rate from now on.
func (p *pace) set(rps float64, now time.Time) {
	if rps != p.rps {
		*p = pace{rps: rps, anchor: now}
	}
}

// wait returns how long from now the next request is due; 0 or less means
// that it is due.
func (p *pace) wait(now time.Time) time.Duration {
	if p.rps == 0 {
		return idleWait
	}
	due := p.anchor.Add(time.Duration(float64(p.sent) / p.rps * float64(time.Second)))
	if late := now.Sub(due); late > maxBacklog {
		*p = pace{rps: p.rps, anchor: now}
		return 0
	}
	return due.Sub(now)
}

// took counts one request as sent.
func (p *pace) took() { p.sent++ }

// watchRate sends each new number found in file, until ctx ends. A file that
// is absent or holds anything else leaves the rate as it is.
func watchRate(ctx context.Context, file string, rates chan<- float64) {
	ticker := time.NewTicker(ratePollTime)
	defer ticker.Stop()
	last := ""
	for {
		if text, err := os.ReadFile(file); err == nil && string(text) != last {
			last = string(text)
			rps, err := strconv.ParseFloat(strings.TrimSpace(last), 64)
			if err != nil || !validRate(rps) {
				log.Printf("%s: ignored %q: want 0 to %v", file, last, maxRate)
			} else {
				select {
				case rates <- rps:
				case <-ctx.Done():
				}
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
