package server_test

import (
	"context"
	"net/http"
	"strings"
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
