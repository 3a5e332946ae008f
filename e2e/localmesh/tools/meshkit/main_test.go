package main

import (
	"context"
	"testing"
)

func TestProgramIsChosenByNameOrFirstArgument(t *testing.T) {
	var ran []string
	saved := programs
	defer func() { programs = saved }()
	programs = map[string]program{
		"pilot-agent": func(_ context.Context, args []string) error { ran = args; return nil },
	}
	for _, test := range []struct {
		argv []string
		code int
	}{
		{[]string{"/pods/x/bin/pilot-agent", "request", "GET"}, 0},
		{[]string{"/bin/meshkit", "pilot-agent", "request", "GET"}, 0},
		{[]string{"meshkit"}, 2},
		{[]string{"meshkit", "unknown"}, 2},
	} {
		ran = nil
		if code := run(t.Context(), test.argv); code != test.code {
			t.Errorf("%v: exit code %d, want %d", test.argv, code, test.code)
		}
		if test.code == 0 && (len(ran) != 2 || ran[0] != "request") {
			t.Errorf("%v: arguments %v", test.argv, ran)
		}
	}
}
