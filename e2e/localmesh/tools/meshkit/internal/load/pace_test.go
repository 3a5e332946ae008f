package load

import (
	"testing"
	"time"
)

var epoch = time.Unix(1_000_000, 0)

// sendsDuring counts the requests that become due while time passes in steps.
func sendsDuring(p *pace, from time.Time, d, step time.Duration) int {
	sent := 0
	for now := from; now.Before(from.Add(d)); now = now.Add(step) {
		for p.wait(now) <= 0 {
			p.took()
			sent++
		}
	}
	return sent
}

func TestRateIsKeptWhateverTheTimerDoes(t *testing.T) {
	for _, rps := range []float64{1, 33, 1000} {
		for _, step := range []time.Duration{100 * time.Microsecond, 7 * time.Millisecond, 100 * time.Millisecond} {
			got := sendsDuring(newPace(rps, epoch), epoch, 10*time.Second, step)
			if want := rps * 10; float64(got) < want-rps*step.Seconds()-1 || float64(got) > want+1 {
				t.Errorf("%v requests/s, steps of %v: %d in 10 s", rps, step, got)
			}
		}
	}
}

func TestStallIsNotFollowedByABurst(t *testing.T) {
	p := newPace(1000, epoch)
	sendsDuring(p, epoch, time.Second, time.Millisecond)
	after := epoch.Add(time.Minute)
	if burst := sendsDuring(p, after, time.Millisecond, time.Millisecond); burst > int(1000*maxBacklog.Seconds())+1 {
		t.Errorf("%d requests at once after a stall", burst)
	}
}

func TestNewRateHoldsFromNowOn(t *testing.T) {
	p := newPace(10, epoch)
	sendsDuring(p, epoch, 10*time.Second, time.Millisecond)
	later := epoch.Add(10 * time.Second)
	p.set(500, later)
	if got := sendsDuring(p, later, 2*time.Second, time.Millisecond); got < 995 || got > 1001 {
		t.Errorf("%d requests in 2 s at 500/s", got)
	}
}

func TestRateOfZeroSendsNothing(t *testing.T) {
	if got := sendsDuring(newPace(0, epoch), epoch, time.Second, time.Millisecond); got != 0 {
		t.Errorf("%d requests at 0/s", got)
	}
}
