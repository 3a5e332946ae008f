package kubelet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"syscall"
)

// pod is what the process kubelet writes to DIR/NAMESPACE/NAME.json.
type pod struct {
	UID        string               `json:"uid"`
	IP         string               `json:"ip"`
	Containers map[string]container `json:"containers"`
}

// container is one process of a pod.
type container struct {
	PID int               `json:"pid"`
	Log string            `json:"log"` // its output; that of the run before it is Log + ".previous"
	Env map[string]string `json:"env"`
	Cwd string            `json:"cwd"`
}

// errNotFound is wrapped by the errors of state that are the client's doing.
var errNotFound = errors.New("not found")

// state reads the process kubelet's folder. Nothing is cached: each request
// sees the pods of its own moment.
type state struct{ root *os.Root }

func openState(dir string) (*state, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &state{root}, nil
}

// pod returns the named pod. An empty uid matches any.
func (s *state) pod(namespace, name, uid string) (pod, error) {
	var found pod
	text, err := s.root.ReadFile(namespace + "/" + name + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return found, fmt.Errorf("pod %s/%s: %w on this node", namespace, name, errNotFound)
	}
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return found, fmt.Errorf("state of pod %s/%s: %w", namespace, name, err)
	}
	if uid != "" && uid != found.UID {
		return found, fmt.Errorf("pod %s/%s with uid %s: %w on this node", namespace, name, uid, errNotFound)
	}
	return found, nil
}

// container returns the named container of the named pod.
func (s *state) container(namespace, name, uid, containerName string) (container, error) {
	pod, err := s.pod(namespace, name, uid)
	if err != nil {
		return container{}, err
	}
	found, ok := pod.Containers[containerName]
	if !ok {
		return found, fmt.Errorf("container %s of pod %s/%s: %w", containerName, namespace, name, errNotFound)
	}
	return found, nil
}

// running reports whether the container's process exists.
func (c container) running() bool {
	return c.PID > 0 && !errors.Is(syscall.Kill(c.PID, 0), syscall.ESRCH)
}

// environ returns the environment in the form of os.Environ.
func (c container) environ(defaults map[string]string) []string {
	env := maps.Clone(defaults)
	maps.Copy(env, c.Env)
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}
