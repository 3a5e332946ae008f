package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

const (
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// terminalGrace is how long a terminal is still read after the command has
	// ended, where something it left in the background holds it open.
	terminalGrace = time.Second
)

// executor runs commands in the environment of one container.
type executor struct{ container container }

// ExecInContainer implements remotecommand.Executor. It returns a
// utilexec.ExitError where the command ran and failed. The command and its
// process group are killed when ctx ends.
func (e executor) ExecInContainer(ctx context.Context, _, _, _ string, command []string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	if len(command) == 0 {
		return errors.New("no command given")
	}
	cmd, err := e.command(ctx, command, tty)
	if err != nil {
		return err
	}
	if tty {
		err = runTTY(cmd, in, out, resize)
	} else {
		err = run(cmd, in, out, errOut)
	}
	return exitError(err)
}

// command prepares the command to run in a session (and so a process group)
// of its own.
func (e executor) command(ctx context.Context, command []string, tty bool) (*exec.Cmd, error) {
	defaults := map[string]string{"PATH": defaultPath}
	if tty {
		defaults["TERM"] = "xterm"
	}
	env := e.container.environ(defaults)
	path, err := lookPath(command[0], e.container.Cwd, env)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, command[1:]...)
	cmd.Args[0] = command[0] // multi-call programs act on it
	cmd.Env = env
	cmd.Dir = e.container.Cwd
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd, nil
}

// lookPath is exec.LookPath with the container's PATH and working directory.
func lookPath(name, cwd string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(cwd, name)
		}
		return exec.LookPath(name)
	}
	for _, entry := range env {
		list, isPath := strings.CutPrefix(entry, "PATH=")
		if !isPath {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			if !filepath.IsAbs(dir) {
				continue
			}
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path, nil
			}
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}

// run runs cmd with pipes.
func run(cmd *exec.Cmd, in io.Reader, out, errOut io.Writer) error {
	cmd.Stdout, cmd.Stderr = out, errOut
	if in == nil {
		return cmd.Run()
	}
	// Not cmd.Stdin: Wait would then wait for the client to close its end.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		io.Copy(stdin, in) // ends with the client's input or the command
		stdin.Close()
	}()
	return cmd.Wait()
}

// exitError turns the failure of a command that ran into what ServeExec
// reports as its exit code; 128 + signal as in a shell.
func exitError(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	code := exit.ExitCode()
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal())
	}
	return utilexec.CodeExitError{Err: exit, Code: code}
}

// hangUp ends a process group as a lost terminal does. A group that ignores that (one started under nohup inherits it) is killed.
func hangUp(group int, ended <-chan struct{}) {
	syscall.Kill(-group, syscall.SIGHUP)
	select {
	case <-ended:
	case <-time.After(terminalGrace):
		syscall.Kill(-group, syscall.SIGKILL)
	}
}

// runTTY runs cmd with a terminal as its input and output.
func runTTY(cmd *exec.Cmd, in io.Reader, out io.Writer, resize <-chan remotecommand.TerminalSize) error {
	master, slave, err := openPTY()
	if err != nil {
		return fmt.Errorf("open a terminal: %w", err)
	}
	defer master.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr.Setctty = true // of descriptor 0
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	if resize != nil {
		go func() {
			for size := range resize {
				setSize(master, size)
			}
			hangUp(cmd.Process.Pid, ended) // the client has gone
		}()
	}
	if in != nil {
		go func() {
			io.Copy(master, in)
			master.Write([]byte{endOfTransmission})
		}()
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		if out != nil {
			io.Copy(out, master) // ends with EIO once no process holds the terminal
		}
	}()
	err = cmd.Wait()
	close(ended)
	select {
	case <-written:
	case <-time.After(terminalGrace):
		master.SetReadDeadline(time.Now())
		<-written
	}
	return err
}

var _ remotecommand.Executor = executor{}
