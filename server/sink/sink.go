// Package sink is the contract between the server and whatever keeps its
// metrics: a file, a log, a broker. It imports nothing, so that both sides of
// the contract can depend on it and on nothing else.
package sink

// Batch is what one accepted request carries: at least one metric, all valid.
// A Sink owns the Batch from Put until it has called the Ack; the Metrics
// must not be changed by the caller in between.
type Batch struct {
	// ID is the request's correlation id; never empty.
	ID string
	// ReceivedMS is when the request was accepted, in Unix milliseconds. It is
	// the time stamp of every metric that brought none of its own.
	ReceivedMS int64
	// Size is the length of the request's body in bytes, by which a Sink can
	// bound what it holds in memory.
	Size    int
	Metrics []Metric
}

// Metric is one validated sample.
type Metric struct {
	Name  string
	Value float64 // finite
	Type  string  // counter, gauge, histogram or summary
	Tags  []Tag   // in the order of first appearance, keys unique
	// TimestampMS is the client's own time stamp in Unix milliseconds; it
	// counts only where HasTimestamp is true.
	TimestampMS  int64
	HasTimestamp bool
}

// Tag is one key and its value.
type Tag struct {
	Key, Value string
}

// Ack tells the request's session how the Sink fared: nil once the batch is as
// safe as the Sink promises, an error when it is not kept. It is called exactly
// once for each Put, at once or later, from any goroutine, and must not block.
type Ack func(err error)

// Sink keeps batches.
type Sink interface {
	// Put hands over a batch. It may block only where the Sink's purpose is to
	// be synchronous. After Close it acknowledges with an error.
	Put(batch *Batch, ack Ack)
	// Pending is the number of batches taken and not yet written.
	Pending() int64
	// Close writes out what is pending, makes it durable and releases the
	// Sink's resources. No Put may be under way.
	Close() error
}
