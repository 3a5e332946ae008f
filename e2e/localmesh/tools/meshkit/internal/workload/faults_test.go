package workload

import (
	"math"
	"testing"
	"time"
)

func TestErrorShareHoldsForEveryBurst(t *testing.T) {
	const requests = 200_000
	for _, burst := range []int{1, 5, 50} {
		for _, rate := range []float64{0, 0.01, 0.5, 1} {
			faults := newFaults(Config{Pod: "reviews-1", ErrorRate: rate, Burst: burst})
			failed := 0
			for range requests {
				if fails, _ := faults.next(time.Time{}); fails {
					failed++
				}
			}
			// Failures in runs of b vary like requests/b independent draws.
			tolerance := 5 * math.Sqrt(rate*(1-rate)*float64(burst)/requests)
			if share := float64(failed) / requests; math.Abs(share-rate) > tolerance {
				t.Errorf("burst %d: share of failures %.4f, want %.2f ± %.4f", burst, share, rate, tolerance)
			}
		}
	}
}

func TestFailuresComeInRunsOfBurst(t *testing.T) {
	faults := newFaults(Config{Pod: "reviews-1", ErrorRate: 0.05, Burst: 4})
	run := 0
	for range 10_000 {
		if fails, _ := faults.next(time.Time{}); fails {
			run++
			continue
		}
		if run%4 != 0 { // runs may follow each other directly
			t.Fatalf("a run of %d failures, want a multiple of 4", run)
		}
		run = 0
	}
}

func TestSlowRateIsTheShareOfSlowRequests(t *testing.T) {
	const requests = 100_000
	faults := newFaults(Config{Pod: "reviews-1", Burst: 1, Latency: time.Second, SlowRate: 0.2})
	slow := 0
	for range requests {
		if _, delay := faults.next(time.Time{}); delay == time.Second {
			slow++
		} else if delay != 0 {
			t.Fatalf("delay %v, want 0 or 1s", delay)
		}
	}
	if share := float64(slow) / requests; math.Abs(share-0.2) > 0.01 {
		t.Errorf("share of slow requests %.3f, want 0.2", share)
	}
}

func TestPodNameDecidesTheSequence(t *testing.T) {
	sequence := func(pod string) (fates []bool) {
		faults := newFaults(Config{Pod: pod, ErrorRate: 0.5, Burst: 1})
		for range 64 {
			fails, _ := faults.next(time.Time{})
			fates = append(fates, fails)
		}
		return fates
	}
	first, again, other := sequence("a"), sequence("a"), sequence("b")
	same := 0
	for i := range first {
		if first[i] != again[i] {
			t.Fatal("the same pod name gave another sequence")
		}
		if first[i] == other[i] {
			same++
		}
	}
	if same == len(first) {
		t.Error("two pod names gave the same sequence")
	}
}

func TestRequestsAboveTheCapacityFail(t *testing.T) {
	const seconds = 60
	for rps, want := range map[int]float64{15: 0, 20: 0, 40: 0.5, 80: 0.75} {
		faults := newFaults(Config{Pod: "reviews-1", Burst: 1, Capacity: 20})
		failed, begin := 0, time.Unix(0, 0)
		for n := range rps * seconds {
			if fails, _ := faults.next(begin.Add(time.Duration(n) * time.Second / time.Duration(rps))); fails {
				failed++
			}
		}
		if share := float64(failed) / float64(rps*seconds); math.Abs(share-want) > 0.02 {
			t.Errorf("at %d requests/s a share of %.3f failed, want %.2f", rps, share, want)
		}
	}
}
