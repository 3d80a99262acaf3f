package server

import (
	"hash/maphash"
	"sync"
)

const limiterShardCount = 64

// limiterShards spreads the clients over 64 locks by the hash of their name.
// Each shard owns its map: the original's shards locked apart but shared one
// map, which is a data race.
type limiterShards struct {
	seed   maphash.Seed
	shards [limiterShardCount]limiterShard
}

type limiterShard struct {
	mu      sync.Mutex
	windows clientWindows
	_       [64]byte // keeps two shards' locks off one cache line
}

func newLimiterShards(rate int) *limiterShards {
	l := &limiterShards{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].windows = newClientWindows(rate, sweepFrom/limiterShardCount)
	}
	return l
}

func (l *limiterShards) allow(client string, now int64) bool {
	shard := &l.shards[maphash.String(l.seed, client)%limiterShardCount]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	return shard.windows.allow(client, now)
}
