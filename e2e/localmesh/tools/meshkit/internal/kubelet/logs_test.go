package kubelet

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nodeWithLog runs a node whose container "app" has written text.
func nodeWithLog(t *testing.T, text string) (n *node, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.log")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return nodeWithApp(t, container{PID: os.Getpid(), Log: path}), path
}

func (n *node) logs(t *testing.T, query string) string {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(n.get(t, "/containerLogs/default/reviews/app", values).Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestLogsAreTheWholeFile(t *testing.T) {
	text := strings.Repeat("a line that is neither short nor long\n", 10_000) + "and no line break at the end"
	node, _ := nodeWithLog(t, text)
	if got := node.logs(t, ""); got != text {
		t.Errorf("%d bytes, want %d", len(got), len(text))
	}
}

func TestTailLines(t *testing.T) {
	long := strings.Repeat("x", tailBlock) + "\n" // lines across blocks
	for _, test := range []struct{ text, lines, want string }{
		{"1\n2\n3\n", "0", ""},
		{"1\n2\n3\n", "1", "3\n"},
		{"1\n2\n3\n", "2", "2\n3\n"},
		{"1\n2\n3\n", "9", "1\n2\n3\n"},
		{"1\n2\n3", "2", "2\n3"},
		{"\n\n\n", "2", "\n\n"},
		{"", "2", ""},
		{"1\n" + long + long, "2", long + long},
	} {
		node, _ := nodeWithLog(t, test.text)
		if got := node.logs(t, "tailLines="+test.lines); got != test.want {
			t.Errorf("last %s of %.20q: %.20q", test.lines, test.text, got)
		}
	}
}

func TestLimitBytes(t *testing.T) {
	node, _ := nodeWithLog(t, "one\ntwo\nthree\n")
	if got := node.logs(t, "limitBytes=6"); got != "one\ntw" {
		t.Errorf("%q", got)
	}
}

func TestPreviousIsTheLogOfTheRunBefore(t *testing.T) {
	node, path := nodeWithLog(t, "now\n")
	if response := node.get(t, "/containerLogs/default/reviews/app", url.Values{"previous": {"true"}}); response.StatusCode != 400 {
		t.Errorf("without one: %s", response.Status)
	}
	if err := os.WriteFile(path+".previous", []byte("before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := node.logs(t, "previous=true"); got != "before\n" {
		t.Errorf("%q", got)
	}
}

func TestSinceTimeUsesTheLinesOwnStamps(t *testing.T) {
	text := "[2026-01-02 10:00:00.000] old\n  more of it\n[2026-01-02 12:00:00.500] new\n  more of it\n"
	node, _ := nodeWithLog(t, text)
	since := time.Date(2026, 1, 2, 11, 0, 0, 0, time.Local).UTC().Format(time.RFC3339)
	if got := node.logs(t, "sinceTime="+since); got != "[2026-01-02 12:00:00.500] new\n  more of it\n" {
		t.Errorf("%q", got)
	}
}

func TestTimestampsAreThoseOfTheLines(t *testing.T) {
	node, path := nodeWithLog(t, "no stamp yet\n2026-01-02T10:00:00.25Z stamped\ncontinued\n")
	changed := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(path, changed, changed); err != nil {
		t.Fatal(err)
	}
	want := "2026-01-01T00:00:00Z no stamp yet\n2026-01-02T10:00:00.25Z 2026-01-02T10:00:00.25Z stamped\n2026-01-02T10:00:00.25Z continued\n"
	if got := node.logs(t, "timestamps=true"); got != want {
		t.Errorf("%q", got)
	}
}

func TestStampsOfTheProgramsOnTheMesh(t *testing.T) {
	local := time.Date(2026, 11, 20, 23, 49, 50, 0, time.Local)
	for line, want := range map[string]time.Time{
		"[2026-11-20 23:49:50.000][12][info] envoy":    local,
		"2026/11/20 23:49:50 go":                       local,
		"2026-11-20T23:49:50Z\tinfo\tistiod":           time.Date(2026, 11, 20, 23, 49, 50, 0, time.UTC),
		"2026-11-20T23:49:50.5+01:00 with a zone":      time.Date(2026, 11, 20, 22, 49, 50, 5e8, time.UTC),
		"2026-11-20 23:49:50,000 python":               local,
		"version 2026-11-20 23:49:50 not at the start": {},
		"2026-99-20 23:49:50 no such month":            {},
	} {
		if got, ok := parseStamp([]byte(line)); !got.Equal(want) || ok == want.IsZero() {
			t.Errorf("%q: %v %v", line, got, ok)
		}
	}
}

func TestFollowSendsWhatIsWrittenUntilTheContainerEnds(t *testing.T) {
	node, path := nodeWithLog(t, "before\n")
	lines := bufio.NewScanner(node.get(t, "/containerLogs/default/reviews/app", url.Values{"follow": {"true"}}).Body)
	log, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	want := "before"
	for i := range 3 {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("line %q, want %q", lines.Text(), want)
		}
		want = fmt.Sprintf("line %d", i)
		fmt.Fprintln(log, want)
	}
	if !lines.Scan() || lines.Text() != want {
		t.Fatalf("line %q, want %q", lines.Text(), want)
	}
	// A restarted container writes to another file.
	if err := os.Rename(path, path+".previous"); err != nil {
		t.Fatal(err)
	}
	if lines.Scan() {
		t.Errorf("line %q after the end", lines.Text())
	}
}
