package pilotagent

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRequestPrintsTheAnswerOfTheAdmin(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, body)
	}))
	defer server.Close()
	admin := strings.TrimPrefix(server.URL, "http://")
	for _, test := range []struct{ method, path, body, want string }{
		{"GET", "config_dump?include_eds", "", "GET /config_dump?include_eds "},
		{"post", "/logging", "x", "POST /logging x"},
	} {
		var out bytes.Buffer
		if err := request(t.Context(), &out, admin, test.method, test.path, test.body); err != nil {
			t.Fatal(err)
		}
		if out.String() != test.want {
			t.Errorf("printed %q, want %q", out.String(), test.want)
		}
	}
}

func TestRefusedRequestIsAnError(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	err := request(t.Context(), io.Discard, strings.TrimPrefix(server.URL, "http://"), "GET", "nothing", "")
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("error %v", err)
	}
}

func TestWrongUseIsExplained(t *testing.T) {
	t.Setenv("POD_IP", "127.0.0.1")
	for _, args := range [][]string{nil, {"wait"}, {"request"}, {"request", "GET"}, {"request", "GET", "a", "b", "c"}} {
		if err := Main(t.Context(), args); err == nil || !strings.Contains(err.Error(), "usage") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestOutsideAPodSaysSo(t *testing.T) {
	t.Setenv("POD_IP", "")
	if err := Main(t.Context(), []string{"request", "GET", "ready"}); err == nil || !strings.Contains(err.Error(), "POD_IP") {
		t.Errorf("error %v", err)
	}
}
