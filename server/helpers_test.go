package server_test

import (
	"context"
	"net/http"
	"os"
	"strings"
)

func newContext() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

// soaked is how often a test does what it does: many times under make soak.
func soaked(short, long int) int {
	if os.Getenv("MSLAB_SOAK") != "" {
		return long
	}
	return short
}

func newRequest(url, body, client string) (*http.Request, error) {
	q, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Authorization", client)
	return q, nil
}

// postSeed sends the seed's body once, on a connection of its own, and returns
// the status.
func postSeed(url string) (int, error) {
	q, err := newRequest(url+"/metrics", seedBody, "")
	if err != nil {
		return 0, err
	}
	q.Close = true
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}
