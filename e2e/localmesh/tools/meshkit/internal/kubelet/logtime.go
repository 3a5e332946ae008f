package kubelet

import (
	"os"
	"regexp"
	"strings"
	"time"
)

// stamp finds the time at the start of a line as Envoy ("[2026-01-02
// 15:04:05.000]"), Go's log package ("2026/01/02 15:04:05") and programs that
// print RFC 3339 write it.
var stamp = regexp.MustCompile(`^\[?(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d:\d\d:\d\d)([.,]\d+)?(Z|[+-]\d\d:\d\d)?`)

// lineClock tells when a line was written. Logs here are what the process
// wrote, without the stamps that a container runtime adds, so it is a best
// effort: the line's own stamp, else that of a line before it, else the time
// of the file's last change.
type lineClock struct {
	file *os.File
	last time.Time
}

func (c *lineClock) timeOf(line []byte) time.Time {
	if at, ok := parseStamp(line); ok {
		c.last = at
	}
	if !c.last.IsZero() {
		return c.last
	}
	if info, err := c.file.Stat(); err == nil {
		return info.ModTime()
	}
	return time.Now()
}

// parseStamp reads a stamp without a zone as local time.
func parseStamp(line []byte) (time.Time, bool) {
	match := stamp.FindSubmatch(line)
	if match == nil {
		return time.Time{}, false
	}
	part := func(i int) string { return string(match[i]) }
	text := part(1) + "-" + part(2) + "-" + part(3) + "T" + part(4) + strings.Replace(part(5), ",", ".", 1)
	if zone := part(6); zone != "" {
		at, err := time.Parse(time.RFC3339, text+zone)
		return at, err == nil
	}
	at, err := time.ParseInLocation("2006-01-02T15:04:05", text, time.Local)
	return at, err == nil
}
