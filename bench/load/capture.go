package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// request is what each tool sends: the very one that mslab load sends by itself.
type request struct {
	path   string
	header [][2]string // beside Host and Content-Length
	body   []byte
	file   string // with the body
}

// contentType is its media type.
func (r request) contentType() string {
	for _, f := range r.header {
		if f[0] == "Content-Type" {
			return f[1]
		}
	}
	return "application/octet-stream"
}

// write puts the body into a file below folder.
func (r *request) write(folder string) error {
	r.file = filepath.Join(folder, "body.json")
	if err := os.WriteFile(r.file, r.body, 0o600); err != nil {
		return fmt.Errorf("write the body: %w", err)
	}
	return nil
}

// answer is what every server here answers with: that of mslab's own server.
const answer = `{"success":true,"metrics_processed":3}`

// capture has mslab send one request and keeps it.
func capture(ctx context.Context, mslab string) (request, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return request{}, fmt.Errorf("listen for mslab's request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	type taken struct {
		request request
		err     error
	}
	found := make(chan taken, 1)
	go func() {
		r, err := takeOne(l)
		found <- taken{r, err}
	}()
	load := exec.CommandContext(ctx, mslab, "load", "http://"+l.Addr().String()+"/metrics",
		"--metrics", "3", "--clients", "1", "--requests", "1", "--progress", "none")
	said, loadErr := load.CombinedOutput()
	_ = l.Close()
	got := <-found
	if err := errors.Join(loadErr, got.err); err != nil {
		return request{}, fmt.Errorf("take the request that mslab load sends: %w; it said: %s", err, said)
	}
	return got.request, nil
}

// takeOne reads one request that a connection brings, and answers it. A
// connection that brings none is let go.
func takeOne(l net.Listener) (request, error) {
	for {
		c, err := l.Accept()
		if err != nil {
			return request{}, err
		}
		r, err := readOne(c)
		_ = c.Close()
		if !errors.Is(err, io.EOF) {
			return r, err
		}
	}
}

func readOne(c net.Conn) (request, error) {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return request{}, err
	}
	h, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return request{}, err
	}
	body, err := io.ReadAll(h.Body)
	if err != nil {
		return request{}, err
	}
	if h.Method != http.MethodPost || len(body) == 0 {
		return request{}, fmt.Errorf("it is %s with a body of %d bytes, not a POST with one", h.Method, len(body))
	}
	r := request{path: h.URL.Path, body: bytes.Clone(body)}
	for _, name := range []string{"Authorization", "Content-Type"} {
		if value := h.Header.Get(name); value != "" {
			r.header = append(r.header, [2]string{name, value})
		}
	}
	_, err = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
	return r, err
}
