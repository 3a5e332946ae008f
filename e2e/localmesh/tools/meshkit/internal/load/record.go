package load

import (
	"bytes"
	"encoding/json"
	"os"
	"sync"
	"time"
)

const flushTime = 20 * time.Millisecond

// sample is what a client saw of one request.
type sample struct {
	T       float64 `json:"t"`      // completion, unix seconds
	Start   float64 `json:"start"`  // sent, unix seconds
	Ms      float64 `json:"ms"`     // from start to the end of the body
	Status  int     `json:"status"` // 0: no complete answer
	Version string  `json:"version"`
	Error   string  `json:"error,omitempty"`
}

// recorder appends samples to a file as JSON lines. Each write holds whole
// lines only, so that a reader never meets half of one.
type recorder struct {
	file *os.File
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	pending bytes.Buffer
	encoder *json.Encoder
	err     error // the first failed write
}

func openRecorder(path string) (*recorder, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	r := &recorder{file: file, stop: make(chan struct{}), done: make(chan struct{})}
	r.encoder = json.NewEncoder(&r.pending)
	go r.flushLoop()
	return r, nil
}

func (r *recorder) add(s sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.encoder.Encode(s); err != nil && r.err == nil {
		r.err = err
	}
}

func (r *recorder) flushLoop() {
	defer close(r.done)
	ticker := time.NewTicker(flushTime)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.flush()
		case <-r.stop:
			r.flush()
			return
		}
	}
}

func (r *recorder) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending.Len() == 0 {
		return
	}
	if _, err := r.file.Write(r.pending.Bytes()); err != nil && r.err == nil {
		r.err = err
	}
	r.pending.Reset()
}

// failed returns the first error of a write, nil while all went well.
func (r *recorder) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// close writes what is pending and returns the first error met.
func (r *recorder) close() error {
	close(r.stop)
	<-r.done
	if err := r.file.Close(); err != nil && r.err == nil {
		r.err = err
	}
	return r.err
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
