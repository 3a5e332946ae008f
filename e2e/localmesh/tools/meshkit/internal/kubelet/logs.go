package kubelet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

const (
	followPoll = 100 * time.Millisecond
	tailBlock  = 32 * 1024
)

// logOptions are the query parameters of a log request (PodLogOptions of the
// core/v1 API).
type logOptions struct {
	follow     bool
	previous   bool
	timestamps bool
	since      time.Time // zero: from the beginning
	tail       int       // lines from the end; -1: all
	limit      int64     // bytes; -1: no limit
}

func parseLogOptions(query url.Values, now time.Time) (logOptions, error) {
	options := logOptions{tail: -1, limit: -1}
	var errs []error
	value := func(name string, parse func(string) error) {
		if text := query.Get(name); text != "" {
			if err := parse(text); err != nil {
				errs = append(errs, fmt.Errorf("%s=%q: %w", name, text, err))
			}
		}
	}
	flag := func(target *bool) func(string) error {
		return func(text string) (err error) { *target, err = strconv.ParseBool(text); return err }
	}
	value("follow", flag(&options.follow))
	value("previous", flag(&options.previous))
	value("timestamps", flag(&options.timestamps))
	value("tailLines", func(text string) (err error) { options.tail, err = strconv.Atoi(text); return err })
	value("limitBytes", func(text string) (err error) { options.limit, err = strconv.ParseInt(text, 10, 64); return err })
	value("sinceTime", func(text string) (err error) { options.since, err = time.Parse(time.RFC3339, text); return err })
	value("sinceSeconds", func(text string) error {
		seconds, err := strconv.ParseInt(text, 10, 64)
		options.since = now.Add(-time.Duration(seconds) * time.Second)
		return err
	})
	return options, errors.Join(errs...)
}

func (k *kubelet) serveLogs(w http.ResponseWriter, r *http.Request) {
	options, err := parseLogOptions(r.URL.Query(), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	namespace, name, containerName := r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")
	container, err := k.state.container(namespace, name, "", containerName)
	if err != nil {
		writeError(w, err)
		return
	}
	path := container.Log
	if options.previous {
		path += ".previous"
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		message := fmt.Sprintf("no log of container %s of pod %s/%s", containerName, namespace, name)
		http.Error(w, message, http.StatusBadRequest)
		return
	}
	if err != nil {
		writeError(w, err)
		return
	}
	defer file.Close()
	w.Header().Set("Content-Type", "text/plain")
	growing := func() bool { return !options.previous && container.running() && isCurrent(file, path) }
	flush := func() { http.NewResponseController(w).Flush() }
	if err := copyLog(r.Context(), w, flush, file, options, growing); err != nil {
		fmt.Fprintf(w, "\nlog broken off: %v\n", err)
	}
}

// isCurrent is false once path names another file than the open one, or the
// open one was cut off: the container was restarted.
func isCurrent(file *os.File, path string) bool {
	named, err := os.Stat(path)
	if err != nil {
		return false
	}
	open, err := file.Stat()
	if err != nil || !os.SameFile(named, open) {
		return false
	}
	offset, err := file.Seek(0, io.SeekCurrent)
	return err == nil && open.Size() >= offset
}

// copyLog writes the lines that options ask for. A follower waits for more at
// the end, all before it flushed, while growing says so and the client stays.
func copyLog(ctx context.Context, w io.Writer, flush func(), file *os.File, options logOptions, growing func() bool) error {
	if options.tail >= 0 {
		if err := seekTail(file, options.tail); err != nil {
			return err
		}
	}
	sink := lineSink{w: w, options: options, left: options.limit, clock: lineClock{file: file}}
	reader := bufio.NewReaderSize(file, tailBlock)
	var partial []byte
	for {
		// Asked before the read: what is written before the end is read too.
		more := options.follow && growing()
		text, err := reader.ReadBytes('\n')
		partial = append(partial, text...)
		switch {
		case err == nil, errors.Is(err, io.EOF) && !more && len(partial) > 0:
			done, writeErr := sink.write(partial)
			if done || writeErr != nil {
				return writeErr
			}
			partial = partial[:0]
		case !errors.Is(err, io.EOF):
			return err
		case !more:
			return nil
		default:
			flush()
			select {
			case <-time.After(followPoll):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// seekTail sets the file to the beginning of its last n lines.
func seekTail(file *os.File, n int) error {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil || n == 0 {
		return err
	}
	block := make([]byte, tailBlock)
	for start, breaks := end, 0; start > 0; {
		size := min(start, tailBlock)
		start -= size
		if _, err := file.ReadAt(block[:size], start); err != nil {
			return err
		}
		for i := size - 1; i >= 0; i-- {
			if block[i] != '\n' || start+i == end-1 { // the last one closes the last line
				continue
			}
			if breaks++; breaks == n {
				_, err := file.Seek(start+i+1, io.SeekStart)
				return err
			}
		}
	}
	_, err = file.Seek(0, io.SeekStart)
	return err
}

// lineSink filters and decorates lines.
type lineSink struct {
	w       io.Writer
	options logOptions
	left    int64
	clock   lineClock
}

// write passes one line on; done means that the limit is reached.
func (s *lineSink) write(line []byte) (done bool, err error) {
	if s.options.timestamps || !s.options.since.IsZero() {
		at := s.clock.timeOf(line)
		if at.Before(s.options.since) {
			return false, nil
		}
		if s.options.timestamps {
			line = append(at.UTC().AppendFormat(nil, time.RFC3339Nano+" "), line...)
		}
	}
	if s.options.limit >= 0 {
		line = line[:min(int64(len(line)), s.left)]
		s.left -= int64(len(line))
		done = s.left == 0
	}
	_, err = s.w.Write(line)
	return done, err
}
