package workload

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"
)

// faults decides for each request whether it fails and how long it takes. The
// sequence is the same each time for the same pod name.
type faults struct {
	errorStart float64 // probability that a run of failures starts at a request
	burst      int
	latency    time.Duration
	slowRate   float64
	capacity   float64 // requests per second; 0: no limit

	mu        sync.Mutex
	random    *rand.Rand
	remaining int // failures left of the current run
	tokens    float64
	refilled  time.Time // when tokens was computed
}

func newFaults(config Config) *faults {
	seed := fnv.New64a()
	seed.Write([]byte(config.Pod))
	// Runs of length b that start with probability q make up the share
	// p = qb / (qb + 1 - q) of all requests; solved for q.
	p, b := config.ErrorRate, float64(config.Burst)
	return &faults{
		errorStart: p / (b*(1-p) + p),
		burst:      config.Burst,
		latency:    config.Latency,
		slowRate:   config.SlowRate,
		capacity:   config.Capacity,
		tokens:     config.Capacity,
		random:     rand.New(rand.NewPCG(seed.Sum64(), 0)),
	}
}

// next draws the fate of one request that comes at a time.
func (f *faults) next(now time.Time) (fails bool, delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.capacity > 0 && !f.admits(now) {
		return true, 0
	}
	if f.remaining == 0 && f.random.Float64() < f.errorStart {
		f.remaining = f.burst
	}
	if f.remaining > 0 {
		f.remaining--
		fails = true
	}
	if f.random.Float64() < f.slowRate {
		delay = f.latency
	}
	return fails, delay
}

// admits takes one token of a bucket that holds a second's worth of requests.
func (f *faults) admits(now time.Time) bool {
	if !f.refilled.IsZero() {
		f.tokens = min(f.tokens+now.Sub(f.refilled).Seconds()*f.capacity, max(f.capacity, 1))
	}
	f.refilled = now
	if f.tokens < 1 {
		return false
	}
	f.tokens--
	return true
}
