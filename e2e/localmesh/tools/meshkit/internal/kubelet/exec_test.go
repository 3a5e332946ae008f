package kubelet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
)

// stream runs a command in container "app" of the pod reviews.
func (n *node) stream(t *testing.T, ctx context.Context, options remotecommand.StreamOptions, command ...string) error {
	t.Helper()
	query := url.Values{"command": command}
	for name, wanted := range map[string]bool{
		"input": options.Stdin != nil, "output": options.Stdout != nil, "error": options.Stderr != nil, "tty": options.Tty,
	} {
		if wanted {
			query.Set(name, "1")
		}
	}
	// The API server's client of a kubelet is this one too: its translator
	// turns WebSockets into a SPDY executor.
	executor, err := remotecommand.NewSPDYExecutor(n.config, http.MethodPost, n.url("/exec/default/reviews/u1/app", query))
	if err != nil {
		t.Fatal(err)
	}
	return executor.StreamWithContext(ctx, options)
}

func nodeWithApp(t *testing.T, app container) *node {
	node := startNode(t)
	if app.Cwd == "" {
		app.Cwd = t.TempDir()
	}
	node.put(t, pod{UID: "u1", IP: "127.0.0.1", Containers: map[string]container{"app": app}})
	return node
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestExecRunsInTheContainersEnvironment(t *testing.T) {
	cwd := t.TempDir()
	node := nodeWithApp(t, container{Cwd: cwd, Env: map[string]string{"POD_IP": "10.244.1.7", "PATH": "/usr/bin:/bin"}})
	t.Setenv("OF_THE_KUBELET", "hidden")
	var out, errOut bytes.Buffer
	err := node.stream(t, testContext(t), remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut},
		"sh", "-c", "pwd; echo $POD_IP; echo [$OF_THE_KUBELET]; echo oops >&2")
	if err != nil {
		t.Fatal(err)
	}
	if want := cwd + "\n10.244.1.7\n[]\n"; out.String() != want || errOut.String() != "oops\n" {
		t.Errorf("output %q, error output %q", out.String(), errOut.String())
	}
}

func TestExecPassesInputAndItsEndOn(t *testing.T) {
	node := nodeWithApp(t, container{})
	var out bytes.Buffer
	big := strings.Repeat("0123456789abcdef", 1<<16) // more than any buffer on the way
	err := node.stream(t, testContext(t), remotecommand.StreamOptions{Stdin: strings.NewReader(big), Stdout: &out}, "cat")
	if err != nil || out.String() != big {
		t.Errorf("%d bytes of %d, error %v", out.Len(), len(big), err)
	}
}

func TestExecDoesNotWaitForUnusedInput(t *testing.T) {
	node := nodeWithApp(t, container{})
	open, _ := io.Pipe()
	var out bytes.Buffer
	err := node.stream(t, testContext(t), remotecommand.StreamOptions{Stdin: open, Stdout: &out}, "echo", "done")
	if err != nil || out.String() != "done\n" {
		t.Errorf("output %q, error %v", out.String(), err)
	}
}

func TestExecReportsTheExitCode(t *testing.T) {
	node := nodeWithApp(t, container{})
	for script, want := range map[string]int{"exit 7": 7, "kill -TERM $$": 143} {
		err := node.stream(t, testContext(t), remotecommand.StreamOptions{Stdout: io.Discard}, "sh", "-c", script)
		var exit utilexec.CodeExitError
		if !errors.As(err, &exit) || exit.Code != want {
			t.Errorf("%s: %v, want exit code %d", script, err, want)
		}
	}
}

func TestExecOfAnUnknownCommandSaysSo(t *testing.T) {
	node := nodeWithApp(t, container{})
	err := node.stream(t, testContext(t), remotecommand.StreamOptions{Stdout: io.Discard}, "no-such-command")
	if err == nil || !strings.Contains(err.Error(), "no-such-command") || !strings.Contains(err.Error(), "not found") {
		t.Errorf("error %v", err)
	}
}

func TestExecFindsCommandsOnTheContainersPath(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "pilot-agent"), []byte("#!/bin/sh\necho agent $0 $1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	node := nodeWithApp(t, container{Env: map[string]string{"PATH": bin + ":/usr/bin:/bin"}})
	var out bytes.Buffer
	if err := node.stream(t, testContext(t), remotecommand.StreamOptions{Stdout: &out}, "pilot-agent", "request"); err != nil {
		t.Fatal(err)
	}
	if want := "agent " + bin + "/pilot-agent request\n"; out.String() != want {
		t.Errorf("output %q, want %q", out.String(), want)
	}
}

// fixedSize is a terminal window that never changes.
type fixedSize struct {
	sizes chan remotecommand.TerminalSize
}

func (f fixedSize) Next() *remotecommand.TerminalSize {
	size, ok := <-f.sizes
	if !ok {
		return nil
	}
	return &size
}

func TestExecGivesATerminalOfTheClientsSize(t *testing.T) {
	node := nodeWithApp(t, container{Env: map[string]string{"PATH": "/usr/bin:/bin"}})
	sizes := fixedSize{make(chan remotecommand.TerminalSize, 1)}
	sizes.sizes <- remotecommand.TerminalSize{Width: 123, Height: 45}
	defer close(sizes.sizes)
	var out bytes.Buffer
	err := node.stream(t, testContext(t), remotecommand.StreamOptions{
		Stdin:             strings.NewReader("echo typed $((40+2))\nexit 3\n"),
		Stdout:            &out,
		Tty:               true,
		TerminalSizeQueue: sizes,
	}, "sh", "-c", `until [ "$(stty size)" = "45 123" ]; do sleep 0.01; done; test -t 0 && test -t 1 && echo terminal $TERM; exec sh`)
	var exit utilexec.CodeExitError
	if !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("error %v, want exit code 3", err)
	}
	for _, want := range []string{"terminal xterm\r\n", "typed 42\r\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
}

// startSleeper runs a command that prints its process id and stays.
func startSleeper(t *testing.T, node *node, ctx context.Context, options remotecommand.StreamOptions) (pid int, ended <-chan error) {
	t.Helper()
	reader, writer := io.Pipe()
	options.Stdout = writer
	done := make(chan error, 1)
	go func() {
		err := node.stream(t, ctx, options, "sh", "-c", "echo $$; exec sleep 600")
		writer.CloseWithError(errors.Join(io.EOF, err))
		done <- err
	}()
	line := make([]byte, 32)
	n, err := reader.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, reader)
	pid, err = strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	return pid, done
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the command still runs")
		}
	}
}

func TestStopKillsTheCommands(t *testing.T) {
	node := nodeWithApp(t, container{})
	pid, ended := startSleeper(t, node, testContext(t), remotecommand.StreamOptions{})
	if err := node.stop(); err != nil {
		t.Fatal(err)
	}
	waitGone(t, pid)
	<-ended
}

func TestTerminalsCommandEndsWhenTheClientGoes(t *testing.T) {
	node := nodeWithApp(t, container{})
	ctx, leave := context.WithCancel(testContext(t))
	input, _ := io.Pipe()
	sizes := fixedSize{make(chan remotecommand.TerminalSize)}
	defer close(sizes.sizes)
	pid, ended := startSleeper(t, node, ctx, remotecommand.StreamOptions{Stdin: input, Tty: true, TerminalSizeQueue: sizes})
	leave()
	<-ended
	waitGone(t, pid)
}
