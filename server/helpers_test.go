package server_test

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

func newContext() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

func newRequest(url, body, client string) (*http.Request, error) {
	q, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Authorization", client)
	return q, nil
}

func openFileLimit(t testing.TB) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return int(min(limit.Cur, 1<<30))
}
