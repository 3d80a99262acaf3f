// Command fasthttp is a server of fasthttp that answers GET / and POST /metrics
// with a few bytes: one of the two servers of bench/peers.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	flag.Parse()
	if err := serve(*addr); err != nil {
		fmt.Fprintln(os.Stderr, "fasthttp:", err)
		os.Exit(1)
	}
}

func serve(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &fasthttp.Server{Handler: handle, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxRequestBodySize: 1 << 20}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	fmt.Println("listening", "http://"+listener.Addr().String())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = server.ShutdownWithContext(late) // connections that are still open end with the process
	return nil
}

func handle(ctx *fasthttp.RequestCtx) {
	switch path := string(ctx.Path()); {
	case ctx.IsGet() && path == "/":
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("hello\n")
	case ctx.IsPost() && path == "/metrics": // the body is read by now
		ctx.SetContentType("application/json")
		ctx.SetBodyString("{\"status\":\"accepted\"}\n")
	default:
		ctx.Error("not found", fasthttp.StatusNotFound)
	}
}
