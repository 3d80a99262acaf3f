//go:build !linux

package server

import "time"

func delayWrite(d time.Duration) { time.Sleep(d) }
